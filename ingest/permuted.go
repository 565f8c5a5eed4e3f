package ingest

import (
	"fmt"
	"math"
	"slices"

	"clpipe/ingest/index"
	"clpipe/internal/rng"
)

// Permuted tells whether each epoch is read by an index, in a full permutation if
// it is shuffled.
func (s *Source) Permuted() bool { return s.index != nil && s.index.ranged }

// epochLimit returns the most samples of an epoch that this rank emits, -1 for
// all there are.
func (s *Source) epochLimit(epoch uint32) int64 {
	if s.Permuted() || s.cfg.World > 1 && !s.cfg.KeepTail {
		if rows := s.epochRows(epoch); rows >= 0 {
			return rows
		}
	}
	if s.cfg.Limit > 0 {
		return int64(s.cfg.Limit)
	}
	return -1
}

// epochRows returns how many samples this rank has in an epoch, those that
// cannot be read included, -1 if that is not known.
func (s *Source) epochRows(epoch uint32) int64 {
	limit := int64(s.cfg.Limit)
	if limit == 0 {
		limit = math.MaxInt64
	}
	if s.Permuted() {
		n, world := min(int64(s.index.len()), limit), int64(s.cfg.World)
		if s.cfg.KeepTail {
			return (n - int64(s.cfg.Rank) + world - 1) / world
		}
		return n / world
	}
	counted := s.counted.Load()
	if counted == nil || slices.Contains(*counted, unknownCount) {
		return -1
	}
	if s.cfg.World == 1 { // the same in every epoch
		rows := int64(0)
		for _, n := range *counted {
			rows += int64(n)
		}
		return min(rows, limit)
	}
	ranks := make([]int64, s.cfg.World)
	for i, place := range s.permutedShards(epoch) {
		ranks[i%s.cfg.World] += int64((*counted)[place])
	}
	if s.cfg.KeepTail {
		return min(ranks[s.cfg.Rank], limit)
	}
	return min(slices.Min(ranks), limit)
}

// sayOrder tells what an index and the ranks make of the order.
func (s *Source) sayOrder() {
	log, cfg := s.cfg.Log, &s.cfg
	switch {
	case s.Permuted() && cfg.Shuffle:
		log.Info(fmt.Sprintf("ingest: the order of each epoch is a full permutation by the index: %d samples in %d shards", s.index.len(), len(s.shards)))
	case s.index != nil && !s.Permuted():
		log.Warn(fmt.Sprintf("ingest: the order stays that of streaming: %d of %d shards cannot be read by ranges, as %q (%s); the index tells lengths only",
			len(s.index.sequential), len(s.shards), s.index.sequential[0], s.reasonOf(s.index.sequential[0])))
	}
	if cfg.World == 1 {
		return
	}
	if rows := s.epochRows(cfg.From.Epoch); rows >= 0 {
		tail := "as every rank; what is over is left out"
		if cfg.KeepTail {
			tail = "others may have more or fewer"
		}
		log.Info(fmt.Sprintf("ingest: rank %d of %d has %d samples in epoch %d, %s", cfg.Rank, cfg.World, rows, cfg.From.Epoch, tail))
		return
	}
	log.Warn(fmt.Sprintf("ingest: rank %d of %d: the samples of packed or remote shards are not counted, so ranks may have different numbers of steps: make an index (clpipe shards index)", cfg.Rank, cfg.World))
}

// reasonOf says why a shard is read in sequence.
func (s *Source) reasonOf(name string) string {
	i := slices.IndexFunc(s.shards, func(m member) bool { return m.Name() == name })
	of := s.index.shards[i]
	switch is := of.in.Shards()[of.place]; {
	case is.Ranged:
		return "the server sends no parts of files"
	case isPacked(is.Format):
		return is.Format
	case of.in.Version() < index.VersionTables:
		return is.Format + ", of which an index had no places when this one was made: renew it by clpipe shards index --overwrite"
	default:
		return is.Format + ", whose images are compressed as a whole, or pixels"
	}
}

// permutedShards returns the order of the shards in an epoch. Rank r has those in
// the places r, r+World and so on.
func (s *Source) permutedShards(epoch uint32) []int {
	places := make([]int, len(s.shards))
	if s.cfg.Shuffle {
		draws := rng.New(s.cfg.Seed, rng.Shards, uint64(epoch))
		draws.Perm(places)
		return places
	}
	for i := range places {
		places[i] = i
	}
	return places
}

// permutation returns the order of an epoch of an indexed set: which of all its
// samples is in which place.
func (s *Source) permutation(epoch uint32) func(place uint64) int {
	if !s.cfg.Shuffle {
		return func(place uint64) int { return int(place) }
	}
	draws := rng.New(s.cfg.Seed, rng.Order, uint64(epoch))
	p := rng.NewPermutation(uint64(s.index.len()), &draws)
	return func(place uint64) int { return int(p.At(place)) }
}

// ownPlace returns the place in the epoch's order of this rank's n-th sample.
func (s *Source) ownPlace(n int) uint64 { return uint64(n)*uint64(s.cfg.World) + uint64(s.cfg.Rank) }

// ownBefore returns how many of this rank's samples lie before a place.
func (s *Source) ownBefore(place uint64) int {
	rank, world := uint64(s.cfg.Rank), uint64(s.cfg.World)
	if place <= rank {
		return 0
	}
	n := (place-rank-1)/world + 1
	return int(min(n, uint64(s.epochRows(0)))) // which is that of every epoch
}
