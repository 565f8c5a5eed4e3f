package ingest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"sync/atomic"

	"clpipe/batch"
	"clpipe/internal/imagecodec"

	"golang.org/x/sync/errgroup"
)

// Report is what Verify found.
type Report struct {
	Shards     []ShardReport  `json:"shards"` // sorted by name; the images of a folder are one entry
	Samples    int            `json:"samples"`
	Readable   int            `json:"readable"`
	ImageBytes int64          `json:"image_bytes"` // of the readable images' files
	Damage     []batch.Reject `json:"damage"`      // in the order of shards and samples; Index counts inside the shard
	Classes    []ClassCount   `json:"classes"`     // by label
	Unlabelled int            `json:"unlabelled"`
	Sizes      []SizeCount    `json:"sizes"` // the most frequent first
	// Duplicates are the ids of images whose files are equal byte for byte, a
	// group each, as far as images are readable.
	Duplicates [][]string `json:"duplicates"`
	// NearDuplicates are the ids of images that look alike without being equal, a
	// group each: see NearBits and NearLevels. Of equal images the first is named.
	NearDuplicates [][]string `json:"near_duplicates"`
	// Altered are shards that are not what a SHA256SUMS beside them or an index
	// says of them.
	Altered []Alteration `json:"altered"`
}

// Alteration is a difference between a shard and what a file says of it.
type Alteration struct {
	Shard string `json:"shard"`
	By    string `json:"by"`             // the file, without credentials and query
	Want  string `json:"want,omitempty"` // the SHA-256 it says; "" for a shard that is gone
	Got   string `json:"got,omitempty"`
}

// Error says what differs.
func (a Alteration) Error() string {
	if a.Want == "" {
		return fmt.Sprintf("%s: it is gone, %s has it", a.Shard, a.By)
	}
	return fmt.Sprintf("%s: its SHA-256 is %s, %s has %s", a.Shard, a.Got, a.By, a.Want)
}

// ShardReport is the part of one shard, or of one folder of images.
type ShardReport struct {
	Name     string `json:"name"`
	Format   string `json:"format"`
	Bytes    int64  `json:"bytes"` // as stored
	Samples  int    `json:"samples"`
	Readable int    `json:"readable"`
	// SHA256 is of the stored bytes, in hex; "" for images of a folder.
	SHA256 string `json:"sha256,omitempty"`
	// Agreed are the files whose checksum is the same.
	Agreed []string `json:"agreed,omitempty"`
}

// ClassCount is how many readable samples have a label.
type ClassCount struct {
	Label   int64 `json:"label"`
	Samples int   `json:"samples"`
}

// SizeCount is how many readable images have a format and size.
type SizeCount struct {
	Format  string `json:"format"` // "jpeg", "png" or "webp"
	W       int    `json:"w"`      // pixels
	H       int    `json:"h"`
	Samples int    `json:"samples"`
}

// checkedSample is what Verify keeps of a readable sample.
type checkedSample struct {
	id       string
	content  [16]byte // of SHA-256: two images in 2^64 would have to meet by chance
	thumb    imagecodec.Thumbnail
	hash     [2]uint64 // of thumb
	info     imagecodec.Info
	bytes    int64
	label    int64
	hasLabel bool
}

// checkedShard is what Verify keeps of a shard until its turn.
type checkedShard struct {
	samples []checkedSample
	damage  []batch.Reject
	sha256  string
}

// Verify reads all shards to the end, decodes every image and reports what it
// found; the order, Limit and ranks of the configuration play no part. Workers
// take a shard each. Checksums are compared with those of SHA256SUMS beside the
// shards and of an index: a file, AutoIndex, or NoIndex, as "". Damage is not an
// error: the errors are the context's, and those of reading these files.
func (s *Source) Verify(ctx context.Context, indexFile string) (*Report, error) {
	claims, gone, err := s.claims(ctx, indexFile)
	if err != nil {
		return nil, err
	}
	checked := make([]checkedShard, len(s.shards))
	var next atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range min(s.cfg.Workers, len(s.shards)) {
		g.Go(func() error {
			dec := imagecodec.Decoder{Limits: imagecodec.Limits{MaxPixels: s.cfg.MaxPixels}}
			var img imagecodec.Image
			for {
				place := int(next.Add(1)) - 1
				if place >= len(s.shards) {
					return nil
				}
				var err error
				if checked[place], err = s.check(ctx, place, &dec, &img); err != nil {
					return err
				}
			}
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	r := s.report(checked, claims)
	r.Altered = append(r.Altered, gone...)
	return r, nil
}

// check reads one shard as training does and adds up its checksum: on the way where
// it is read in sequence, else, of a local archive or a Parquet file, after it.
func (s *Source) check(ctx context.Context, place int, dec *imagecodec.Decoder, img *imagecodec.Image) (checkedShard, error) {
	m := s.shards[place]
	if m.Format() == "image" || s.cfg.Sources[m.source] == "-" {
		return s.checkSamples(ctx, place, interleave{source: s, waiting: []int{place}}, dec, img)
	}
	sum := newSummed(m.obj)
	samples := interleave{source: s, waiting: []int{place}}
	if !m.CheapToScan() {
		samples = interleave{source: s.inOnePass(m, sum), waiting: []int{0}}
	}
	out, err := s.checkSamples(ctx, place, samples, dec, img)
	if err != nil {
		return out, err
	}
	if err := sum.finish(ctx); err != nil {
		out.damage = append(out.damage, s.reject(&entry{shard: place, lost: 1}, 0, 0, "read", err))
		return out, ctx.Err()
	}
	out.sha256 = sum.hex()
	return out, nil
}

// checkSamples reads the samples of the shard in a place, and decodes them.
func (s *Source) checkSamples(ctx context.Context, place int, samples interleave, dec *imagecodec.Decoder, img *imagecodec.Image) (out checkedShard, err error) {
	samples.slots = make([]*cursor, 0, 1)
	defer samples.close()
	fetch := fetchers{source: s}
	defer fetch.close()
	for index := uint64(0); ; index++ {
		e, err := samples.next(ctx)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		e.shard = place
		s.cfg.Progress()
		file, what, err := fetch.image(ctx, &e)
		if err == nil {
			what, err = "decode", dec.Decode(file, img)
		}
		if err != nil {
			out.damage = append(out.damage, s.reject(&e, 0, index, what, err))
			e.release()
			continue
		}
		info, err := imagecodec.ReadInfo(file)
		if err != nil {
			return out, err // not after a decoding that went well
		}
		sum := sha256.Sum256(file)
		thumb := img.Thumbnail()
		out.samples = append(out.samples, checkedSample{
			id: s.id(&e), content: [16]byte(sum[:16]), thumb: thumb, hash: thumb.Hash(), info: info, bytes: int64(len(file)),
			label: e.sample.Label, hasLabel: e.sample.HasLabel,
		})
		e.release()
	}
}

// report puts the parts together in the order of the shards.
func (s *Source) report(checked []checkedShard, claims [][]claim) *Report {
	r := &Report{}
	folders := map[string]int{} // of images, their places in r.Shards
	classes, sizes := map[int64]int{}, map[imagecodec.Info]int{}
	first := map[[16]byte]string{}   // content to the id that had it first
	equal := map[[16]byte][]string{} // content to all ids, of those that came again
	var again [][16]byte             // the keys of equal, in order
	for place, c := range checked {
		part := r.shard(s.shards[place], folders)
		part.Samples += len(c.samples)
		part.Readable += len(c.samples)
		for _, d := range c.damage {
			part.Samples += d.Lost
		}
		if part.SHA256 = c.sha256; c.sha256 != "" {
			r.compare(part, claims[place])
		}
		r.Damage = append(r.Damage, c.damage...)
		for _, m := range c.samples {
			r.ImageBytes += m.bytes
			sizes[m.info]++
			if m.hasLabel {
				classes[m.label]++
			} else {
				r.Unlabelled++
			}
			id, met := first[m.content]
			switch {
			case !met:
				first[m.content] = m.id
			case equal[m.content] == nil:
				again = append(again, m.content)
				equal[m.content] = []string{id, m.id}
			default:
				equal[m.content] = append(equal[m.content], m.id)
			}
		}
	}
	slices.SortStableFunc(r.Shards, func(a, b ShardReport) int { return cmp.Compare(a.Name, b.Name) })
	for _, part := range r.Shards {
		r.Samples += part.Samples
		r.Readable += part.Readable
	}
	for label, n := range classes {
		r.Classes = append(r.Classes, ClassCount{label, n})
	}
	slices.SortFunc(r.Classes, func(a, b ClassCount) int { return cmp.Compare(a.Label, b.Label) })
	for info, n := range sizes {
		r.Sizes = append(r.Sizes, SizeCount{info.Format, info.W, info.H, n})
	}
	slices.SortFunc(r.Sizes, func(a, b SizeCount) int {
		return cmp.Or(b.Samples-a.Samples, cmp.Compare(a.W, b.W), cmp.Compare(a.H, b.H), cmp.Compare(a.Format, b.Format))
	})
	for _, content := range again {
		r.Duplicates = append(r.Duplicates, equal[content])
	}
	var all []*checkedSample
	for _, c := range checked {
		for i := range c.samples {
			all = append(all, &c.samples[i])
		}
	}
	for _, group := range nearGroups(all) {
		ids := make([]string, len(group))
		for i, at := range group {
			ids[i] = all[at].id
		}
		r.NearDuplicates = append(r.NearDuplicates, ids)
	}
	return r
}

// compare notes which of the claims are true of a shard.
func (r *Report) compare(part *ShardReport, claims []claim) {
	for _, c := range claims {
		if c.sha256 == part.SHA256 {
			part.Agreed = append(part.Agreed, c.by)
		} else {
			r.Altered = append(r.Altered, Alteration{Shard: part.Name, By: c.by, Want: c.sha256, Got: part.SHA256})
		}
	}
}

// shard returns the entry that m belongs to. folders are the places of those of
// images: between the images of a folder those of one in it may stand.
func (r *Report) shard(m member, folders map[string]int) *ShardReport {
	name, at := m.Name(), len(r.Shards)
	if m.Format() == "image" {
		name = path.Dir(name)
		if met, ok := folders[name]; ok {
			at = met
		}
		folders[name] = at
	}
	if at == len(r.Shards) {
		r.Shards = append(r.Shards, ShardReport{Name: name, Format: m.Format()})
	}
	r.Shards[at].Bytes += max(m.Size(), 0)
	return &r.Shards[at]
}
