package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync/atomic"

	"clpipe/batch"
	"clpipe/ingest/remote"
	"clpipe/ingest/shard"
	"clpipe/internal/imagecodec"
)

// Source is a set of shards ready to be read. It is safe for concurrent use,
// except that Run is called once at a time.
type Source struct {
	cfg     Config
	shards  []member               // sorted by name
	classes []string               // of image folders
	whole   bool                   // the shards are all that lie in one directory
	index   *catalogue             // nil: none
	counted atomic.Pointer[[]int]  // samples by shard, once Count has been through; unknownCount for some
	took    atomic.Pointer[func()] // is told, while Run reads, that it gets on
}

// moved says that bytes have come from a server: over a slow network a record, and of
// a table the first sample, is long in coming.
func (s *Source) moved() {
	if took := s.took.Load(); took != nil {
		(*took)()
	}
}

// unknownCount stands for the samples of a shard that was not counted.
const unknownCount = -1

// Open lists the shards and looks at the first bytes of those on this machine. A
// configuration that cannot be met is a *UsageError.
func Open(ctx context.Context, cfg Config) (*Source, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Source{cfg: cfg.withDefaults()}
	s.cfg.moved = s.moved
	if err := s.list(ctx); err != nil {
		return nil, err
	}
	if err := s.loadIndex(ctx); err != nil {
		return nil, err
	}
	if n := len(s.shards); !s.Permuted() && n < s.cfg.World {
		return nil, &UsageError{fmt.Errorf("ingest: open: %d shards for %d ranks: got %d, want at least one a rank, or an index, by which the samples are divided", n, s.cfg.World, n)}
	}
	return s, nil
}

// Config returns the configuration with its defaults filled in.
func (s *Source) Config() Config { return s.cfg }

// Shards returns the shards, sorted by name. Each image of a folder is one.
func (s *Source) Shards() []Shard {
	out := make([]Shard, len(s.shards))
	counted := s.counted.Load()
	for i, m := range s.shards {
		out[i] = Shard{Name: m.Name(), Source: remote.Redact(s.cfg.Sources[m.source]), Format: m.Format(), Bytes: max(m.Size(), 0)}
		if counted != nil {
			out[i].Samples = max((*counted)[i], 0)
		}
	}
	return out
}

// Classes returns the names of the classes of image folders by label, nil if
// there are none.
func (s *Source) Classes() []string { return s.classes }

// Metadata is what the schema of the records says of them: the seed, the
// sources, the first sample if it is not that of the first epoch and, as a JSON
// array by label, the classes of image folders.
func (s *Source) Metadata() batch.Metadata {
	m := batch.Metadata{
		batch.KeySeed:   strconv.FormatUint(s.cfg.Seed, 10),
		batch.KeySource: strings.ToValidUTF8(strings.Join(redacted(s.cfg.Sources), " "), "�"),
	}
	if s.cfg.From != (batch.Position{}) {
		m[batch.KeyFrom] = s.cfg.From.String()
	}
	if len(s.classes) > 0 {
		names := make([]string, len(s.classes))
		for i, c := range s.classes {
			names[i] = strings.ToValidUTF8(c, "�")
		}
		text, err := json.Marshal(names)
		if err != nil {
			panic(err) // a list of strings always has a JSON form
		}
		m[batch.KeyClasses] = string(text)
	}
	return m
}

// id returns the id of a sample.
func (s *Source) id(e *entry) string { return string(s.appendID(nil, e)) }

// appendID appends the id of a sample.
func (s *Source) appendID(to []byte, e *entry) []byte {
	to = append(to, shard.Printable(s.shards[e.shard].Name())...)
	if e.sample.Key == "" {
		return to
	}
	return append(append(to, '/'), e.sample.Key...)
}

// reject returns the entry for a sample that cannot be used.
func (s *Source) reject(e *entry, epoch uint32, index uint64, what string, why error) batch.Reject {
	r := batch.Reject{
		Shard: shard.Printable(s.shards[e.shard].Name()), Key: e.sample.Key, Offset: e.sample.Offset,
		Epoch: epoch, Index: index, What: what, Why: why.Error(), Lost: e.lost, GivenUp: e.givenUp,
	}
	if s.shards[e.shard].Format() == "image" {
		r.Shard, r.Key = "", r.Shard
	}
	return r
}

// FirstImage is what the header of a source's first image says.
type FirstImage struct {
	ID     string
	Format string // "jpeg", "png" or "webp"
	W, H   int    // pixels
}

// First returns the first readable image of the first shard in sorted order;
// shards without one are passed over. A source that has none is an error that
// names the last reason.
func (s *Source) First(ctx context.Context) (FirstImage, error) {
	all := interleave{source: s, waiting: sequence(len(s.shards)), slots: make([]*cursor, 0, 1)}
	defer all.close()
	fetch := fetchers{source: s}
	defer fetch.close()
	var last error
	for {
		e, err := all.next(ctx)
		if errors.Is(err, io.EOF) {
			return FirstImage{}, fmt.Errorf("ingest: first image: %w: %w", noImage(s.cfg.Sources...), last)
		}
		if err != nil {
			return FirstImage{}, err
		}
		file, what, err := fetch.image(ctx, &e)
		if err == nil {
			info, headerErr := imagecodec.ReadInfo(file)
			if headerErr == nil {
				e.release()
				return FirstImage{ID: s.id(&e), Format: info.Format, W: info.W, H: info.H}, nil
			}
			what, err = "decode", headerErr
		}
		last = s.reject(&e, 0, 0, what, err)
		e.release()
		fetch.close() // one sample a shard at most is wanted: hold no file open
	}
}

// noImage is the error for sources without a readable image.
func noImage(sources ...string) error {
	return fmt.Errorf("not one readable image in %q", strings.Join(redacted(sources), " "))
}

// redacted returns sources without credentials and queries.
func redacted(sources []string) []string {
	out := make([]string, len(sources))
	for i, source := range sources {
		out[i] = remote.Redact(source)
	}
	return out
}

func sequence(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// Count returns how many samples the first epoch has for this rank, those
// included that cannot be read: by the index, or by a pass over the headers or
// footers of the shards that reads no image. It does not know (known is false)
// where a shard would have to be unpacked or fetched. The number of each shard
// that could be counted is in Shards from then on, those of other epochs, which
// differ where ranks divide whole shards, in EpochSamples.
func (s *Source) Count(ctx context.Context) (n int64, known bool, err error) {
	if s.counted.Load() == nil {
		if err := s.countShards(ctx, func() {}); err != nil {
			return 0, false, err
		}
	}
	n, known = s.EpochSamples(0)
	return n, known, nil
}

// EpochSamples returns how many samples an epoch has for this rank, once Count
// has been through.
func (s *Source) EpochSamples(epoch uint32) (n int64, known bool) {
	n = s.epochRows(epoch)
	return max(n, 0), n >= 0
}

// countShards counts the samples of the shards that can be counted cheaply; took
// is called as it goes on.
func (s *Source) countShards(ctx context.Context, took func()) error {
	var cheap []int
	counted := make([]int, len(s.shards))
	for i, m := range s.shards {
		counted[i] = unknownCount
		if m.CheapToScan() {
			cheap = append(cheap, i)
			counted[i] = 0
		} else if c, ok := m.Shard.(shard.Counted); ok {
			n, err := c.CountSamples(ctx)
			took()
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err == nil { // or it will be given up, and then not be counted on
				counted[i] = n
			}
		}
	}
	all := interleave{source: s, waiting: cheap, slots: make([]*cursor, 0, 1)}
	defer all.close()
	for {
		e, err := all.next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		counted[e.shard]++
		took()
	}
	s.counted.Store(&counted)
	return nil
}
