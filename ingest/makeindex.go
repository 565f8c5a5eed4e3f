package ingest

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math"

	"clpipe/batch"
	"clpipe/ingest/index"
	"clpipe/ingest/remote"
	"clpipe/internal/imagecodec"

	"golang.org/x/sync/errgroup"
)

// castagnoli is the polynomial of CRC-32C, for which processors have an
// instruction: an image is checked in a hundredth of the time it is decoded in.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// IndexReport is what MakeIndex has written.
type IndexReport struct {
	Shards  int   `json:"shards"`
	Samples int   `json:"samples"` // damaged ones included
	Damaged int   `json:"damaged"`
	Bytes   int64 `json:"bytes"` // of the shards
	// Sequential are the shards whose images cannot be read by themselves: packed
	// archives, and most tables that are compressed.
	Sequential []string `json:"sequential"`
}

// indexedShard is what MakeIndex keeps of a shard until its turn.
type indexedShard struct {
	shard   index.Shard
	samples []index.Sample
	rejects []batch.Reject
}

// MakeIndex reads all shards to the end, once (tables twice), and writes what an
// index says of them, in their order; the order and ranks of the configuration
// play no part. Workers take a shard each. Damaged samples are counted in
// Config.Rejects and have their place in the index; the rest of a shard that is
// cut off is one of them.
//
// Errors: batch.ErrTooManyRejects, a *UsageError for sources that cannot have an
// index, and those of reading: a shard that may be whole the next time is none
// to write down.
func (s *Source) MakeIndex(ctx context.Context, w *index.Writer) (IndexReport, error) {
	var report IndexReport
	for _, m := range s.shards {
		switch {
		case m.Format() == "image":
			return report, &UsageError{fmt.Errorf("ingest: index: %q is a file of its own: images in folders are permuted one by one without an index", m.Name())}
		case s.cfg.Sources[m.source] == "-":
			return report, &UsageError{errors.New("ingest: index: standard input can be read only once, and has no places to come back to")}
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	type job struct {
		place int
		done  chan indexedShard
	}
	jobs := make(chan job)
	order := make(chan job, s.cfg.Workers) // shards read before their turn: a record's worth of rows each
	g.Go(func() error {
		defer close(jobs)
		defer close(order)
		for place := range s.shards {
			j := job{place, make(chan indexedShard, 1)}
			for _, to := range []chan job{order, jobs} {
				select {
				case to <- j:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}
		return nil
	})
	for range min(s.cfg.Workers, len(s.shards)) {
		g.Go(func() error {
			for j := range jobs {
				read, err := s.indexShard(ctx, j.place)
				if err != nil {
					return err
				}
				j.done <- read
			}
			return nil
		})
	}
	g.Go(func() error {
		for j := range order {
			select {
			case read := <-j.done:
				if err := s.writeIndexed(w, read, &report); err != nil {
					return err
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return report, err
	}
	if err := s.cfg.Rejects.EndEpoch(0); err != nil {
		return report, fmt.Errorf("ingest: index: %w", err)
	}
	return report, nil
}

// writeIndexed writes a shard and counts what is in it.
func (s *Source) writeIndexed(w *index.Writer, read indexedShard, report *IndexReport) error {
	s.cfg.Rejects.Seen(0, len(read.samples))
	for _, r := range read.rejects {
		if err := s.cfg.Rejects.Add(r); err != nil {
			return fmt.Errorf("ingest: index: %w", err)
		}
	}
	report.Shards++
	report.Samples += len(read.samples)
	report.Damaged += len(read.rejects)
	report.Bytes += read.shard.Bytes
	if !read.shard.Ranged {
		report.Sequential = append(report.Sequential, read.shard.Name)
	}
	return w.Add(read.shard, read.samples)
}

// indexShard reads one shard.
func (s *Source) indexShard(ctx context.Context, place int) (indexedShard, error) {
	m := s.shards[place]
	out := indexedShard{shard: index.Shard{Name: m.Name()}}
	if f, ok := m.obj.(remote.File); ok {
		out.shard.Address, out.shard.ETag = f.Remote().Where, f.Remote().Version
	}
	sum := newSummed(m.obj)
	samples := interleave{source: s.inOnePass(m, sum), waiting: []int{0}, slots: make([]*cursor, 0, 1)}
	defer samples.close()
	for i := uint64(0); ; i++ {
		e, err := samples.next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return out, err
		}
		if e.givenUp && !isDamage(&e) {
			return out, fmt.Errorf("ingest: index: shard %s: %w", m.Name(), e.sample.Damage)
		}
		s.cfg.Progress()
		e.shard = place
		row := index.Sample{
			Key: e.sample.Key, Offset: e.sample.Offset, At: -1, Size: e.sample.Size, CRC32C: crc32.Checksum(e.sample.Image, castagnoli),
			Label: e.sample.Label, HasLabel: e.sample.HasLabel,
		}
		if d := e.sample.Damage; d != nil {
			row.Damage = d.What + ": " + d.Why.Error()
			out.rejects = append(out.rejects, s.reject(&e, 0, i, d.What, d.Why))
		} else {
			row.At, row.Packed, row.Lead = e.sample.At, e.sample.Packed, e.sample.Lead
			if info, err := imagecodec.ReadInfo(e.sample.Image); err == nil && info.W <= math.MaxUint32 && info.H <= math.MaxUint32 {
				row.W, row.H, row.Format = info.W, info.H, info.Format
			}
		}
		out.samples = append(out.samples, row)
		e.sample.Recycle()
	}
	samples.close()
	if err := sum.finish(ctx); err != nil {
		return out, fmt.Errorf("ingest: index: shard %s: %w", m.Name(), err)
	}
	out.shard.Bytes, out.shard.SHA256 = sum.read, sum.hex()
	out.shard.Format, out.shard.Ranged = formatOf(sum.head), true
	stored, wanted := int64(0), int64(0)
	for i := range out.samples {
		stored += max(out.samples[i].Packed, out.samples[i].Size)
		wanted += out.samples[i].Size
	}
	for i := range out.samples {
		row := &out.samples[i]
		// Where the image of a packed archive stands is a place once it is unpacked.
		if isPacked(out.shard.Format) || stored > mostPacked*wanted {
			row.At, row.Packed, row.Lead = -1, 0, 0
		}
		out.shard.Ranged = out.shard.Ranged && (row.At >= 0 || row.Damage != "")
	}
	return out, nil
}

// mostPacked is how many times its size may be read of a shard that is compressed in
// fragments, if its images are read by themselves. With photos it is two, with
// thumbnails of a few KB more than ten: those are better streamed.
const mostPacked = 4

// isDamage tells whether the point at which a shard was given up is a matter of
// what it holds, not of the reading.
func isDamage(e *entry) bool {
	file, request := (*fs.PathError)(nil), (*remote.Error)(nil)
	why := e.sample.Damage.Why
	return !errors.As(why, &file) && !errors.As(why, &request)
}

// inOnePass returns a source of one shard that is read by sum, from its beginning
// to its end; a Parquet shard, which is read from its end, as it is.
func (s *Source) inOnePass(m member, sum *summed) *Source {
	if m.Format() != "parquet" {
		m.Shard = &unopened{obj: sum.object(), maxSampleBytes: s.cfg.MaxSampleBytes}
	}
	return &Source{cfg: s.cfg, shards: []member{m}}
}
