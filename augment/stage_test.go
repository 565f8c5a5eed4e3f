package augment_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"slices"
	"strings"
	"testing"

	"clpipe/augment"
	"clpipe/batch"
	"clpipe/internal/imagecodec"
	"clpipe/internal/rng"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sample is an image as its file and as its pixels.
type sample struct {
	row  batch.Row
	file []byte
	img  imagecodec.Image
}

// encode returns a picture of noise as a file.
func encode(t testing.TB, w, h int, asJPEG bool) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for i, v := range noise(w, h).Pix {
		img.Pix[i/3*4+i%3] = v
	}
	for i := 3; i < len(img.Pix); i += 4 {
		img.Pix[i] = 255
	}
	var buf bytes.Buffer
	var err error
	if asJPEG {
		err = jpeg.Encode(&buf, img, nil)
	} else {
		err = png.Encode(&buf, img)
	}
	if err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// samples returns epochs of readable samples of some sizes, one of them so
// large that only the crops are decoded.
func samples(t testing.TB, epochs, perEpoch int) []sample {
	t.Helper()
	return samplesOf(t, epochs, perEpoch, encode(t, 40, 30, true), encode(t, 33, 47, false), encode(t, 170, 120, true), encode(t, 20, 20, true), encode(t, 7, 90, false))
}

// samplesOf returns epochs of samples that are files in turn.
func samplesOf(t testing.TB, epochs, perEpoch int, files ...[]byte) []sample {
	t.Helper()
	var out []sample
	for epoch := range epochs {
		for i := range perEpoch {
			s := sample{
				row:  batch.Row{ID: fmt.Sprint("a.tar/", i), Epoch: uint32(epoch), Index: uint64(i), Label: int64(i % 3), HasLabel: i%4 != 0, Offset: int64(512 * i)},
				file: files[i%len(files)],
			}
			if err := imagecodec.Decode(s.file, &s.img, imagecodec.Limits{}); err != nil {
				t.Fatal(err)
			}
			out = append(out, s)
		}
	}
	return out
}

// images is a stream of samples, decoded or as files, in records of so many rows.
type images struct {
	schema  *arrow.Schema
	mem     memory.Allocator
	samples []sample
	record  []int
	records int
	err     error // at the end, instead of io.EOF
}

func stream(mem memory.Allocator, encoded bool, meta batch.Metadata, s []sample, record ...int) *images {
	schema := batch.ImagesSchema(meta)
	if encoded {
		schema = batch.EncodedSchemaWithOffsets(meta)
	}
	return &images{schema: schema, mem: mem, samples: s, record: record, err: io.EOF}
}

func (s *images) Schema(context.Context) (*arrow.Schema, error) { return s.schema, nil }

func (s *images) Read(context.Context) (arrow.Record, error) {
	if len(s.samples) == 0 {
		return nil, s.err
	}
	n := min(s.record[s.records%len(s.record)], len(s.samples))
	s.records++
	rows := s.samples[:n]
	s.samples = s.samples[n:]
	if batch.KindOf(s.schema) == batch.EncodedKind {
		b := batch.NewEncodedBuilder(s.mem, s.schema)
		defer b.Release()
		for _, r := range rows {
			b.Append(r.row, r.file)
		}
		return b.NewRecord(), nil
	}
	b := batch.NewImagesBuilder(s.mem, s.schema)
	defer b.Release()
	for _, r := range rows {
		b.Append(r.row, r.img.Pix, r.img.H, r.img.W)
	}
	return b.NewRecord(), nil
}

// pair is a row of the stage's output.
type pair struct {
	row              batch.Row
	anchor, positive string
}

// pairs gathers what the stage writes.
type pairs struct {
	schema *arrow.Schema
	rows   []pair
	sizes  []int // of the records
	err    error // of every Write
}

func (p *pairs) Open(_ context.Context, s *arrow.Schema) error { p.schema = s; return nil }

func (p *pairs) Write(_ context.Context, rec arrow.Record) error {
	defer rec.Release()
	if p.err != nil {
		return p.err
	}
	view, err := batch.NewPairs(rec)
	if err != nil {
		return err
	}
	p.sizes = append(p.sizes, view.Len())
	width := len(view.Anchor) / view.Len()
	for i := range view.Len() {
		r := pair{row: batch.Row{ID: view.ID(i), Epoch: view.Epoch(i)}, anchor: string(view.Anchor[i*width : (i+1)*width])}
		r.row.Index, _ = view.Index(i)
		r.row.Label, r.row.HasLabel = view.Label(i)
		if view.Positive != nil {
			r.positive = string(view.Positive[i*width : (i+1)*width])
		}
		p.rows = append(p.rows, r)
	}
	return nil
}

// expected are the pairs that the policy makes of samples, one after the other.
func expected(t testing.TB, policy *augment.Policy, seed uint64, in []sample) []pair {
	t.Helper()
	var scratch augment.Scratch
	var out []pair
	for _, s := range in {
		anchor, positive := apply(t, policy, &s.img, augment.SampleKey{Seed: seed, Epoch: s.row.Epoch, ID: s.row.ID}, &scratch)
		if policy.Views() == 1 {
			positive = nil
		}
		row := s.row
		row.Offset = 0 // not part of a pair
		if !row.HasLabel {
			row.Label = 0
		}
		out = append(out, pair{row, string(anchor), string(positive)})
	}
	return out
}

// config is that of a stage without tolerance for rejects.
func config(policy *augment.Policy, rows int) augment.StageConfig {
	return augment.StageConfig{Policy: policy, Rows: rows, Rejects: &batch.Rejects{}, Mem: memory.DefaultAllocator}
}

// Pairs are a function of the samples alone: not of workers, of records in or
// out, nor of where the images were decoded.
func TestPairsDoNotDependOnTheWay(t *testing.T) {
	in := samples(t, 2, 9)
	seed := uint64(3)
	for _, policy := range []*augment.Policy{builtin(t, "moco-v2", 24), builtin(t, "none", 24)} {
		want := expected(t, policy, seed, in)
		for _, encoded := range []bool{false, true} {
			for _, c := range []struct {
				workers, rows int
				record        []int
			}{{1, 4, []int{4}}, {2, 4, []int{1}}, {5, 4, []int{3, 1, 7}}, {2, 1, []int{9}}, {1, 100, []int{2}}} {
				mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
				cfg := config(policy, c.rows)
				cfg.Seed, cfg.Workers, cfg.Mem = &seed, c.workers, mem
				var out pairs
				if err := augment.Stage(cfg)(t.Context(), stream(mem, encoded, nil, in, c.record...), &out); err != nil {
					t.Fatal(err)
				}
				mem.AssertSize(t, 0)
				if !slices.Equal(out.rows, want) {
					t.Errorf("%s: encoded %v, %+v: pairs differ from those of the policy", policy, encoded, c)
				}
				var sizes []int // full, but at the end of an epoch
				for range 2 {
					left := 9
					for ; left > c.rows; left -= c.rows {
						sizes = append(sizes, c.rows)
					}
					sizes = append(sizes, left)
				}
				if !slices.Equal(out.sizes, sizes) {
					t.Errorf("encoded %v, %+v: records of %v, want %v", encoded, c, out.sizes, sizes)
				}
			}
		}
	}
}

// spoil makes samples unreadable as bad says of each: 0 not at all, 1 no image,
// 2 cut short, 3 not square. It returns their rejects, without Why.
func spoil(t testing.TB, in []sample, bad func(i int) int) (spoilt []sample, rejects []batch.Reject) {
	t.Helper()
	oblong := encode(t, 10, 20, false)
	for i, s := range in {
		what := ""
		switch bad(i) {
		case 1:
			s.file, what = []byte("no image"), "decode"
		case 2:
			s.file, what = s.file[:len(s.file)/2], "decode"
		case 3:
			s.file, what = oblong, "augment"
		}
		if what != "" {
			rejects = append(rejects, batch.Reject{Key: s.row.ID, Offset: s.row.Offset, Epoch: s.row.Epoch, Index: s.row.Index, What: what, Lost: 1})
		}
		spoilt = append(spoilt, s)
	}
	return spoilt, rejects
}

// Rejected samples are named in order and leave the rest as it is: closed up,
// with a gap in the index.
func TestRejectsAreNamedAndClosedUp(t *testing.T) {
	whole := samplesOf(t, 2, 11, encode(t, 20, 20, true), encode(t, 31, 31, false))
	policy := parse(t, "name: square\nboth: [{op: resize, size: 24}, {op: horizontal_flip, p: 0.5}]\n", 24) // fails for others
	seed := uint64(1)
	all := expected(t, policy, seed, whole)
	for run := range uint64(12) {
		draw := rng.New(run, rng.Benchmark)
		bad := make([]int, len(whole))
		for i := range bad {
			bad[i] = max(0, draw.IntN(10)-6)
		}
		in, want := spoil(t, whole, func(i int) int { return bad[i] })
		mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
		var got []batch.Reject
		cfg := config(policy, 1+draw.IntN(8))
		cfg.Seed, cfg.Workers, cfg.Mem = &seed, 2, mem
		cfg.Rejects = &batch.Rejects{Max: 1, Log: func(r batch.Reject) error { got = append(got, r); return nil }}
		var out pairs
		if err := augment.Stage(cfg)(t.Context(), stream(mem, true, nil, in, 1+draw.IntN(8)), &out); err != nil {
			t.Fatal(err)
		}
		mem.AssertSize(t, 0)
		var left []pair
		for i, p := range all {
			if bad[i] == 0 {
				left = append(left, p)
			}
		}
		if !slices.Equal(out.rows, left) {
			t.Errorf("bad %v: %d pairs, want the %d readable ones as they are without the others", bad, len(out.rows), len(left))
		}
		for i := range got {
			if got[i].Why == "" {
				t.Errorf("%v does not say why", got[i])
			}
			got[i].Why = ""
		}
		if !slices.Equal(got, want) {
			t.Errorf("bad %v: rejects\n%v\nwant\n%v", bad, got, want)
		}
	}
}

// The share of rejects is that of the samples tried, where no stage before this
// one counts what it sees, and else of those seen.
func TestTooManyRejectsEndTheRun(t *testing.T) {
	policy := builtin(t, "none", 32)
	for _, c := range []struct {
		name            string
		max             float64
		bad, seenBefore int
		ok              bool
	}{
		{"tolerated", 0.1, 2, 0, true},
		{"one more", 0.1, 3, 0, false},
		{"none tolerated", 0, 1, 0, false},
		{"seen before", 0.1, 3, 30, true},
		{"seen before, one more", 0.1, 4, 30, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			in, _ := spoil(t, samples(t, 1, 20), func(i int) int {
				if i < c.bad {
					return 1
				}
				return 0
			})
			mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
			defer mem.AssertSize(t, 0)
			cfg := config(policy, 4)
			cfg.Mem, cfg.Rejects = mem, &batch.Rejects{Max: c.max}
			cfg.Rejects.Seen(0, c.seenBefore)
			var out pairs
			err := augment.Stage(cfg)(t.Context(), stream(mem, true, nil, in, 6), &out)
			if c.ok && err != nil || !c.ok && !errors.Is(err, batch.ErrTooManyRejects) {
				t.Errorf("error %v, want ok %v", err, c.ok)
			}
			if !c.ok && !strings.Contains(err.Error(), fmt.Sprintf("a.tar/%d@%d: decode: ", c.bad-1, 512*(c.bad-1))) {
				t.Errorf("error %v does not name the last reject", err)
			}
		})
	}
}

// TestTheLastRejectKeepsItsName reads records whose memory is used again by the next.
func TestTheLastRejectKeepsItsName(t *testing.T) {
	in := samplesOf(t, 1, 9, encode(t, 20, 20, false))
	in[2].file = make([]byte, len(in[2].file))
	src := stream(memory.DefaultAllocator, true, nil, in, 1)
	var body bytes.Buffer
	w := batch.NewIPCWriter("body", &body, memory.DefaultAllocator)
	if err := w.Open(t.Context(), src.schema); err != nil {
		t.Fatal(err)
	}
	for range in {
		rec, err := src.Read(t.Context())
		if err == nil {
			err = w.Write(t.Context(), rec)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	r := batch.NewIPCReader("body", &body, memory.DefaultAllocator)
	defer r.Drain()
	r.Recycle()
	cfg := config(builtin(t, "none", 32), 1)
	cfg.Rejects = &batch.Rejects{Max: 0.1} // of nine samples not one
	err := augment.Stage(cfg)(t.Context(), r, &pairs{})
	if !errors.Is(err, batch.ErrTooManyRejects) || !strings.Contains(err.Error(), "a.tar/2@1024: decode: ") {
		t.Errorf("got %v, want the third sample named", err)
	}
}

// poisoned overwrites memory that is given back.
type poisoned struct{ memory.Allocator }

func (p poisoned) Free(b []byte) {
	for i := range b {
		b[i] = 0xa5
	}
	p.Allocator.Free(b)
}

// peak is a stream that notes how many bytes are allocated when more is asked for.
type peak struct {
	*images
	mem  *memory.CheckedAllocator
	most int
}

func (p *peak) Read(ctx context.Context) (arrow.Record, error) {
	p.most = max(p.most, p.mem.CurrentAlloc())
	return p.images.Read(ctx)
}

// TestLargeImagesDoNotWaitForAFullRecord gathers a record of images that are more than
// may be held: their views are the same, and what is behind them is given back.
func TestLargeImagesDoNotWaitForAFullRecord(t *testing.T) {
	const fileBytes = 6 << 20
	long := func(file []byte) []byte { return append(file, make([]byte, fileBytes-len(file))...) } // nobody reads on behind its end
	in := samplesOf(t, 2, 21, long(encode(t, 40, 30, true)), long(encode(t, 170, 120, true)))
	in, _ = spoil(t, in, func(i int) int { return max(0, i%7-5) })
	policy, seed := builtin(t, "moco-cifar", 16), uint64(3)
	var good []sample
	for _, s := range in {
		if len(s.file) == fileBytes {
			good = append(good, s)
		}
	}
	for _, rows := range []int{21, 16} {
		mem := memory.NewCheckedAllocator(poisoned{memory.DefaultAllocator})
		cfg := config(policy, rows)
		cfg.Seed, cfg.Workers, cfg.Rejects = &seed, 2, &batch.Rejects{Max: 1}
		src := &peak{images: stream(mem, true, nil, in, 1, 2), mem: mem}
		var out pairs
		if err := augment.Stage(cfg)(t.Context(), src, &out); err != nil {
			t.Fatal(err)
		}
		mem.AssertSize(t, 0)
		if !slices.Equal(out.rows, expected(t, policy, seed, good)) {
			t.Errorf("%d rows: pairs differ from those of the policy", rows)
		}
		if src.most > int(augment.HeldBytes(2))+2*fileBytes {
			t.Errorf("%d rows: %d bytes are held, want at most %d", rows, src.most, augment.HeldBytes(2))
		}
	}
}

// TestEveryImageIsProgress looks at what a watchdog sees of a record of pairs that may
// take longer than it has patience.
func TestEveryImageIsProgress(t *testing.T) {
	meter := batch.Meter{Name: "augment"}
	stage := meter.Wrap(augment.Stage(config(builtin(t, "moco-cifar", 16), 9)))
	if err := stage(t.Context(), stream(memory.DefaultAllocator, true, nil, samples(t, 1, 9), 9), &pairs{}); err != nil {
		t.Fatal(err)
	}
	if got := meter.Progress(); got != 1+9+1 {
		t.Errorf("progress is %d, want a record read, nine images and a record written", got)
	}
}

func TestStageReleasesAllOnErrors(t *testing.T) {
	policy := builtin(t, "moco-cifar", 16)
	errBroken := errors.New("broken")
	in := samples(t, 1, 12)
	for _, c := range []struct {
		name string
		set  func(*images, *pairs, *augment.StageConfig)
	}{
		{"the reader fails", func(s *images, _ *pairs, _ *augment.StageConfig) { s.err = errBroken }},
		{"the writer fails", func(_ *images, p *pairs, _ *augment.StageConfig) { p.err = errBroken }},
		{"the rejects' log fails", func(s *images, _ *pairs, cfg *augment.StageConfig) {
			s.samples, _ = spoil(t, s.samples, func(i int) int { return i / 11 })
			cfg.Rejects = &batch.Rejects{Max: 1, Log: func(batch.Reject) error { return errBroken }}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
			defer mem.AssertSize(t, 0)
			s, out, cfg := stream(mem, true, nil, in, 5), &pairs{}, config(policy, 8)
			cfg.Mem, cfg.Workers = mem, 3
			c.set(s, out, &cfg)
			if err := augment.Stage(cfg)(t.Context(), s, out); !errors.Is(err, errBroken) {
				t.Errorf("error %v, want %v", err, errBroken)
			}
		})
	}
}

// A stage that waits, to read or to write, ends when the run is cancelled, and
// nothing is left in the streams.
func TestCancelledStageEnds(t *testing.T) {
	in := samples(t, 1, 12)
	policy := builtin(t, "moco-cifar", 16)
	for _, c := range []struct {
		name    string
		records int // taken before the run is cancelled
	}{{"waiting to write", 1}, {"waiting to read", 6}} {
		t.Run(c.name, func(t *testing.T) {
			mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
			defer mem.AssertSize(t, 0)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			cfg := config(policy, 2)
			cfg.Mem = mem
			source := func(ctx context.Context, _ batch.Reader, out batch.Writer) error {
				s := stream(mem, true, nil, in, 1)
				if err := out.Open(ctx, s.schema); err != nil {
					return err
				}
				for range in {
					rec, err := s.Read(ctx)
					if err != nil {
						return err
					}
					if err := out.Write(ctx, rec); err != nil {
						return err
					}
				}
				<-ctx.Done() // alive, with nothing more to say
				return ctx.Err()
			}
			sink := func(ctx context.Context, in batch.Reader, _ batch.Writer) error {
				for records := 0; ; records++ {
					if records == c.records {
						cancel()
						<-ctx.Done()
						return ctx.Err()
					}
					rec, err := in.Read(ctx)
					if err != nil {
						return err
					}
					rec.Release()
				}
			}
			if err := batch.Run(ctx, 1, nil, nil, source, augment.Stage(cfg), sink); !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want cancelled", err)
			}
		})
	}
}

func TestStageTakesTheStreamsSeed(t *testing.T) {
	policy := builtin(t, "moco-cifar", 16)
	in := samples(t, 1, 3)
	seven := uint64(7)
	for _, c := range []struct {
		asked *uint64
		meta  batch.Metadata
		want  uint64
	}{
		{nil, nil, 1}, {nil, batch.Metadata{batch.KeySeed: "12"}, 12}, {&seven, batch.Metadata{batch.KeySeed: "12"}, 7}, {&seven, nil, 7},
	} {
		cfg := config(policy, 3)
		cfg.Seed = c.asked
		if c.meta != nil {
			c.meta[batch.KeySource] = "s3shards"
		}
		var out pairs
		if err := augment.Stage(cfg)(t.Context(), stream(memory.DefaultAllocator, false, c.meta, in, 3), &out); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(out.rows, expected(t, policy, c.want, in)) {
			t.Errorf("asked %v, stream %v: pairs are not those of seed %d", c.asked, c.meta, c.want)
		}
		meta := batch.MetadataOf(out.schema)
		if meta[batch.KeySeed] != fmt.Sprint(c.want) || meta[batch.KeyPolicy] != policy.String() || meta[batch.KeySource] != c.meta[batch.KeySource] {
			t.Errorf("metadata %v, want seed %d, the policy and the source", meta, c.want)
		}
	}
}

func TestOneViewHasNoPositive(t *testing.T) {
	policy := parse(t, "name: one\nanchor: [{op: center_crop, size: 16}]\n", 16)
	in := samples(t, 1, 3)
	var out pairs
	if err := augment.Stage(config(policy, 3))(t.Context(), stream(memory.DefaultAllocator, true, nil, in, 3), &out); err != nil {
		t.Fatal(err)
	}
	if out.schema.HasField("positive") || !slices.Equal(out.rows, expected(t, policy, 1, in)) {
		t.Errorf("fields %v and %d pairs, want anchors only", out.schema.Fields(), len(out.rows))
	}
}

func TestStageRefusesOtherStreams(t *testing.T) {
	policy := builtin(t, "moco-cifar", 16)
	for _, c := range []struct {
		in   *images
		want string
	}{
		{&images{schema: batch.PairsSchema(nil, 2, 8, 8, 3), err: io.EOF}, "the stream is \"pairs/1\": want encoded/1 or images/1"},
		{stream(memory.DefaultAllocator, true, batch.Metadata{batch.KeySeed: "many"}, nil, 1), `clpipe.seed is "many", want an unsigned number`},
	} {
		if err := augment.Stage(config(policy, 4))(t.Context(), c.in, &pairs{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
	silent := func(context.Context, batch.Reader, batch.Writer) error { return nil }
	err := batch.Run(t.Context(), 1, nil, &pairs{}, silent, augment.Stage(config(policy, 4)))
	if err == nil || !strings.Contains(err.Error(), "ended before it said what it holds") {
		t.Errorf("error %v of a stream without a schema", err)
	}
}
