// Package pack writes WebDataset shards: the samples of any source that ingest
// reads go, in ingest's order, into tar archives of a bounded size. A sample is
// two members, KEY.jpg (or KEY.png, KEY.webp) and, if it has a label, KEY.cls; KEY is the
// sample's number. Equal samples give equal archives, byte for byte.
//
// A shard is written beside its place under another name, synced and renamed:
// what stands in its place is whole. No file is ever overwritten; the checksums
// of a folder's shards are added to its SHA256SUMS.
package pack

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"clpipe/batch"
	"clpipe/ingest"
	"clpipe/ingest/brace"
	"clpipe/ingest/shard"
	"clpipe/internal/imagecodec"
)

// Config says what to pack and into what.
type Config struct {
	// Ingest is the source and its order. Encoded, Epochs, From and Offsets
	// are set by Write.
	Ingest ingest.Config
	// Out names the shards by their number, as train-%06d.tar, or one after the
	// other by a brace pattern, as train-{000000..000146}.tar: more shards than it
	// stands for are an error, fewer are not.
	Out string
	// MaxSamples is the most samples of a shard; default 10,000.
	MaxSamples int
	// MaxBytes is the largest shard, unless a single sample is larger; default
	// 128 MiB, the upper end of what is usual for reading over networks.
	MaxBytes int64
	// Progress is told of every sample that was packed; nil drops it.
	Progress func()
}

func (c Config) withDefaults() Config {
	if c.MaxSamples == 0 {
		c.MaxSamples = 10_000
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 128 << 20
	}
	if c.Ingest.Rejects == nil {
		c.Ingest.Rejects = &batch.Rejects{Max: 0.01}
	}
	if c.Progress == nil {
		c.Progress = func() {}
	}
	c.Ingest.Encoded, c.Ingest.Offsets = true, true
	c.Ingest.Epochs, c.Ingest.From = 1, batch.Position{}
	return c
}

// verb is the place of the number in Config.Out.
var verb = regexp.MustCompile(`%(0[1-9])?d`)

// names returns what the shards are called in turn: by a list, or by the verb in
// Config.Out where the list is nil.
func (c Config) names() ([]string, error) {
	switch verbs := strings.Count(c.Out, "%"); {
	case strings.ContainsAny(c.Out, "{}") && verbs == 0:
		names, err := brace.Expand(c.Out, shard.MaxObjects)
		if err != nil {
			return nil, fmt.Errorf("pack: config: Out: %q: %w", c.Out, err)
		}
		sorted := slices.Sorted(slices.Values(names))
		if twice := slices.Compact(slices.Clone(sorted)); len(twice) < len(sorted) {
			return nil, fmt.Errorf("pack: config: Out: %q names %d files, %d different ones", c.Out, len(sorted), len(twice))
		}
		return names, nil
	case verbs != 1 || len(verb.FindAllString(c.Out, -1)) != 1:
		return nil, fmt.Errorf("pack: config: Out: got %q, want one number in it, as in train-%%06d.tar, or a brace pattern, as train-{000000..000146}.tar", c.Out)
	}
	return nil, nil
}

// Validate returns everything that is wrong with c, joined, as an
// *ingest.UsageError.
func (c Config) Validate() error {
	var problems []error
	if _, err := c.names(); err != nil {
		problems = append(problems, err)
	}
	if c.MaxSamples < 0 {
		problems = append(problems, fmt.Errorf("pack: config: MaxSamples: got %d, want 1 or more, or 0 for the default", c.MaxSamples))
	}
	if c.MaxBytes < 0 {
		problems = append(problems, fmt.Errorf("pack: config: MaxBytes: got %d, want 1 or more, or 0 for the default", c.MaxBytes))
	}
	if err := c.withDefaults().Ingest.Validate(); err != nil {
		problems = append(problems, err)
	}
	if len(problems) > 0 {
		return &ingest.UsageError{Err: errors.Join(problems...)}
	}
	return nil
}

// Report is what Write has written.
type Report struct {
	Shards   []Shard  `json:"shards"`
	Samples  int      `json:"samples"`
	Rejected int      `json:"rejected"`
	Classes  []string `json:"classes,omitempty"` // by label, where the source is folders by class
}

// Shard is one archive.
type Shard struct {
	Path    string `json:"path"`
	Samples int    `json:"samples"`
	Bytes   int64  `json:"bytes"`
	SHA256  string `json:"sha256"`
}

// Write packs the source. Samples whose header is not that of a readable image, or of
// one over Config.Ingest.MaxPixels, are rejected by the rules of Config.Ingest.Rejects.
// A file in the place of a shard is an error; shards finished before stay, and are in
// the report.
func Write(ctx context.Context, cfg Config) (Report, error) {
	if err := cfg.Validate(); err != nil {
		return Report{}, err
	}
	cfg = cfg.withDefaults()
	src, err := ingest.Open(ctx, cfg.Ingest)
	if err != nil {
		return Report{}, err
	}
	p := &packer{cfg: cfg, maxPixels: src.Config().MaxPixels, report: Report{Classes: src.Classes()}}
	if p.names, err = cfg.names(); err != nil {
		return p.report, err
	}
	if err := p.free(0); err != nil {
		return p.report, err
	}
	err = batch.Run(ctx, 2, nil, nil, src.Stage(), p.run)
	p.discard()
	p.report.Rejected = cfg.Ingest.Rejects.Total()
	return p.report, err
}

// packer is the stage that writes the shards.
type packer struct {
	cfg       Config
	maxPixels int64    // of an image
	names     []string // of the shards in turn; nil: by number
	current   *archive // nil: none begun
	report    Report
}

func (p *packer) run(ctx context.Context, in batch.Reader, _ batch.Writer) error {
	for {
		rec, err := in.Read(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		view, err := batch.NewEncoded(rec)
		if err == nil {
			err = p.record(view)
		}
		rec.Release()
		if err != nil {
			return err
		}
	}
	if err := p.finish(); err != nil {
		return err
	}
	if err := p.cfg.Ingest.Rejects.EndEpoch(0); err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	return nil
}

func (p *packer) record(rows *batch.Encoded) error {
	for i := range rows.Len() {
		file := rows.Bytes(i)
		info, err := imagecodec.ReadInfo(file)
		if n := int64(info.W) * int64(info.H); err == nil && n > p.maxPixels {
			err = &imagecodec.LimitError{Format: info.Format, What: "pixels", Got: n, Max: p.maxPixels}
		}
		if err != nil {
			index, _ := rows.Index(i)
			reject := batch.Reject{Key: rows.ID(i), Offset: rows.Offset(i), Epoch: rows.Epoch(i), Index: index, What: "decode", Why: err.Error(), Lost: 1}
			if err := p.cfg.Ingest.Rejects.Add(reject); err != nil {
				return fmt.Errorf("pack: %w", err)
			}
			continue
		}
		label, labelled := rows.Label(i)
		if err := p.sample(info.Format, file, label, labelled); err != nil {
			return err
		}
	}
	return nil
}

// sample adds a sample to the current shard or to a new one.
func (p *packer) sample(format string, file []byte, label int64, labelled bool) error {
	members := []member{{field: fields[format], body: file}}
	if labelled {
		members = append(members, member{field: "cls", body: fmt.Append(nil, label)})
	}
	a := p.current
	if a != nil && (a.samples == p.cfg.MaxSamples || a.bytes+storedBytes(members) > p.cfg.MaxBytes) {
		if err := p.finish(); err != nil {
			return err
		}
		a = nil
	}
	if a == nil {
		number := len(p.report.Shards)
		if err := p.free(number); err != nil {
			return err
		}
		var err error
		if a, err = create(p.path(number)); err != nil {
			return fmt.Errorf("pack: create shard: %w", err)
		}
		p.current = a
	}
	if err := a.add(fmt.Sprintf("%08d", p.report.Samples), members); err != nil {
		return fmt.Errorf("pack: write shard %s: sample %d: %w", a.path, p.report.Samples, err)
	}
	p.report.Samples++
	p.cfg.Progress()
	return nil
}

// fields are the names of members by what imagecodec calls a format.
var fields = map[string]string{"jpeg": "jpg", "png": "png", "webp": "webp"}

// path returns where a shard goes, which is in names if there are any.
func (p *packer) path(number int) string {
	if p.names != nil {
		return p.names[number]
	}
	return fmt.Sprintf(p.cfg.Out, number)
}

// finish puts the current shard in its place.
func (p *packer) finish() error {
	a := p.current
	if a == nil {
		return nil
	}
	p.current = nil
	if err := a.commit(); err != nil {
		return fmt.Errorf("pack: finish shard %s: %w", a.path, err)
	}
	p.report.Shards = append(p.report.Shards, Shard{Path: a.path, Samples: a.samples, Bytes: a.bytes, SHA256: hex.EncodeToString(a.sum.Sum(nil))})
	if err := a.note(); err != nil {
		return fmt.Errorf("pack: checksum of shard %s: %w", a.path, err)
	}
	return nil
}

// discard removes what there is of an unfinished shard.
func (p *packer) discard() {
	if p.current != nil {
		p.current.abandon()
	}
}
