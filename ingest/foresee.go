package ingest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math"

	"clpipe/ingest/shard"
	"clpipe/internal/rng"
)

// Reads are what an epoch asks of the disk or the network.
type Reads struct {
	Ranged   bool  `json:"ranged"`   // images by themselves, else shards from end to end
	Requests int64 `json:"requests"` // of remote shards requests, of local ones reads; -1: as many as the system, or a table's row groups, make of it
	Bytes    int64 `json:"bytes"`    // read; -1: not known
	Wanted   int64 `json:"wanted"`   // bytes of images among them; -1: not known
}

// Reads foresees what the first epoch of this rank reads, if nothing is cut off.
func (s *Source) Reads() Reads {
	if s.Permuted() {
		r := Reads{Ranged: true}
		_ = s.eachWindow(0, 0, func(w window) error { // the error is that of the function
			for _, sp := range s.cut(w) {
				r.Requests++
				r.Bytes += sp.to - sp.from
			}
			for i := range w {
				r.Wanted += w[i].sample.Size
			}
			return nil
		})
		return r
	}
	r := Reads{Wanted: -1}
	for i, place := range s.permutedShards(0) {
		if i%s.cfg.World != s.cfg.Rank {
			continue
		}
		m := s.shards[place]
		if m.Size() < 0 {
			return Reads{Requests: -1, Bytes: -1, Wanted: -1}
		}
		r.Bytes += m.Size()
		if _, local := m.obj.(shard.RandomAccess); local && m.Format() != "image" || m.Format() == "parquet" {
			r.Requests = -1
		} else if r.Requests >= 0 {
			r.Requests++
		}
	}
	return r
}

// Mixing tells how well an epoch is shuffled. Shares are of what a full random
// permutation of the same samples has: 1 is as good.
type Mixing struct {
	Samples int `json:"samples"` // that were looked at: the beginning of the epoch
	// Displacement is how far samples are moved from where they lie among the
	// sorted shards, in the mean, as a share.
	Displacement float64 `json:"displacement"`
	// Neighbours is how far apart two samples come that lie side by side among the
	// sorted shards, likewise.
	Neighbours float64 `json:"neighbours"`
	// Shards and Classes are how many different ones a batch has in the mean, and
	// of BestShards and BestClasses in a full permutation; classes are 0 where
	// there are no labels.
	Shards      float64 `json:"shards_per_batch"`
	BestShards  float64 `json:"best_shards_per_batch"`
	Classes     float64 `json:"classes_per_batch"`
	BestClasses float64 `json:"best_classes_per_batch"`
}

// maxForeseen bounds the samples that Mixing looks at: their places are held.
const maxForeseen = 1 << 22

// foreseen is what Mixing keeps of a sample.
type foreseen struct {
	natural int // place among the sorted shards
	shard   int32
	class   int32 // -1: none
}

// Mixing goes through the first epoch of this rank, in the real order but without
// images, and compares its batches with those of a full permutation. It does not
// know (known is false) where the order depends on what has to be unpacked or
// fetched; Count comes before.
func (s *Source) Mixing(ctx context.Context, batchSize int) (m Mixing, known bool, err error) {
	seen, err := s.foresee(ctx)
	if err != nil || len(seen) < 2 {
		return Mixing{}, false, err
	}
	m.Samples = len(seen)
	best := make([]foreseen, len(seen))
	draws := rng.New(s.cfg.Seed, rng.Order, math.MaxUint64) // of no epoch
	p := rng.NewPermutation(uint64(len(seen)), &draws)
	for i := range best {
		best[i] = seen[p.At(uint64(i))]
	}
	moved, apart := distances(seen)
	bestMoved, bestApart := distances(best)
	m.Displacement, m.Neighbours = share(moved, bestMoved), share(apart, bestApart)
	m.Shards, m.Classes = different(seen, batchSize)
	m.BestShards, m.BestClasses = different(best, batchSize)
	return m, true, nil
}

// foresee returns the samples of the first epoch in their order, nil if it takes
// reading to know it.
func (s *Source) foresee(ctx context.Context) ([]foreseen, error) {
	counted := s.counted.Load()
	if counted == nil || s.epochRows(0) < 0 {
		return nil, nil
	}
	first := make([]int, len(s.shards)) // natural places
	sum := 0
	for i, n := range *counted {
		first[i] = sum
		sum += n
	}
	var out []foreseen
	take := func(e *entry) {
		f := foreseen{natural: first[e.shard] + e.nth, shard: int32(e.shard), class: -1}
		if e.sample.HasLabel {
			f.class = int32(e.sample.Label)
		}
		out = append(out, f)
	}
	most := int(min(s.epochRows(0), maxForeseen))
	if s.Permuted() {
		at := s.permutation(0)
		for n := range most {
			e := s.index.entry(at(s.ownPlace(n)), math.MaxInt64)
			take(&e)
		}
		return out, nil
	}
	dry := &Source{cfg: s.cfg, shards: s.shards} // hands out samples without images
	dry.cfg.Log = slog.New(slog.DiscardHandler)
	if s.index != nil {
		dry.shards = s.indexedShards()
	}
	for _, m := range dry.shards {
		if !m.CheapToScan() {
			return nil, nil
		}
	}
	order := dry.order(0, func() {})
	defer order.close()
	for len(out) < most {
		e, err := order.next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		take(&e)
	}
	return out, nil
}

// share is a part of the best; where so few samples leave nothing to move, 1.
func share(part, best float64) float64 {
	if best == 0 {
		return 1
	}
	return part / best
}

// distances returns how far samples are from their natural places, in the mean,
// and how far apart natural neighbours are.
func distances(order []foreseen) (moved, apart float64) {
	places := make(map[int]int, len(order)) // by natural place
	lowest, highest := math.MaxInt, 0
	for i, f := range order {
		places[f.natural] = i
		lowest, highest = min(lowest, f.natural), max(highest, f.natural)
	}
	scale := float64(len(order)) / float64(highest-lowest+1) // a rank has a part of all
	pairs := 0
	for i, f := range order {
		moved += math.Abs(float64(i) - float64(f.natural-lowest)*scale)
		if j, ok := places[f.natural+1]; ok {
			apart += math.Abs(float64(i - j))
			pairs++
		}
	}
	return moved / float64(len(order)), apart / float64(max(pairs, 1))
}

// different returns how many shards and classes a whole batch has in the mean.
func different(order []foreseen, batchSize int) (shards, classes float64) {
	batchSize = min(batchSize, len(order))
	n := 0
	for ; (n+1)*batchSize <= len(order); n++ {
		ofShard, ofClass := map[int32]bool{}, map[int32]bool{}
		for _, f := range order[n*batchSize : (n+1)*batchSize] {
			ofShard[f.shard] = true
			if f.class >= 0 {
				ofClass[f.class] = true
			}
		}
		shards += float64(len(ofShard))
		classes += float64(len(ofClass))
	}
	return shards / float64(n), classes / float64(n)
}

// indexedShards returns the shards as their indexes have them.
func (s *Source) indexedShards() []member {
	out := make([]member, len(s.shards))
	for i, m := range s.shards {
		out[i] = member{told{m.Shard, s.index.shards[i]}, m.obj, m.source}
	}
	return out
}

// told is a shard whose samples come from its index, without their images.
type told struct {
	shard.Shard
	at indexed
}

// CheapToScan implements shard.Shard.
func (t told) CheapToScan() bool { return true }

// Open implements shard.Shard.
func (t told) Open(context.Context) (shard.Reader, error) { return &toldReader{at: t.at}, nil }

type toldReader struct {
	at indexed
	n  int
}

// Next implements shard.Reader.
func (r *toldReader) Next() (shard.Sample, error) {
	if r.n == r.at.in.Samples(r.at.place) {
		return shard.Sample{}, io.EOF
	}
	sample, _ := r.at.in.Sample(r.at.place, r.n)
	r.n++
	return sample, nil
}

// Close implements shard.Reader.
func (r *toldReader) Close() error { return nil }
