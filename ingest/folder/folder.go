// Package folder reads images that are files of their own, sorted into folders
// by class. Each file is a shard of one sample: so the order of shards is a
// full permutation of the images, and ranks divide them evenly.
//
// The class is the first folder below the root, its label its place in the
// bytewise sorted list of classes; images in the root itself have no label. The
// id of an image is its path below the root.
package folder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"clpipe/ingest/shard"
)

// IsImage tells by the extension whether a file is an image, readable or not.
func IsImage(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".jpg", ".jpeg", ".png", ".webp":
		return true
	}
	return false
}

// ClassOf returns the class of an image with the given path below the root, ""
// if it lies in the root itself.
func ClassOf(name string) string {
	class, _, below := strings.Cut(name, "/")
	if !below {
		return ""
	}
	return class
}

// Classes returns the sorted classes of images with the given names, the
// labels being their places in it.
func Classes(names []string) []string {
	seen := map[string]bool{}
	for _, name := range names {
		if class := ClassOf(name); class != "" {
			seen[class] = true
		}
	}
	classes := make([]string, 0, len(seen))
	for class := range seen {
		classes = append(classes, class)
	}
	slices.Sort(classes)
	return classes
}

// Image is an image file as a shard of one sample. It is a shard.Shard.
type Image struct {
	obj            shard.Object
	label          int64 // -1: none
	maxSampleBytes int64
}

// New returns the shard of an image. label is -1 for an image without one.
// Images over maxSampleBytes are not read.
func New(obj shard.Object, label int64, maxSampleBytes int64) *Image {
	return &Image{obj, label, maxSampleBytes}
}

// Name returns the path below the source's root.
func (m *Image) Name() string { return m.obj.Name() }

// Size returns the length in bytes, -1 if it is not known.
func (m *Image) Size() int64 { return m.obj.Size() }

// Format returns "image".
func (m *Image) Format() string { return "image" }

// CheapToScan tells whether the length is known: nothing of the file is read then
// to pass over it.
func (m *Image) CheapToScan() bool { return m.Size() >= 0 }

// CountSamples returns 1.
func (m *Image) CountSamples(context.Context) (int, error) { return 1, nil }

// Open returns a reader of the one sample. It does not touch the file, except one
// of unknown length, which it reads: room for it is made before it is fetched.
func (m *Image) Open(ctx context.Context) (shard.Reader, error) {
	s := shard.Sample{Size: m.Size()}
	if s.Size < 0 {
		var err error
		if s.Image, err = m.readAll(ctx); err != nil {
			return nil, err
		}
		s.Size = int64(len(s.Image))
	}
	if m.label >= 0 {
		s.Label, s.HasLabel = m.label, true
	}
	var why error
	switch {
	case s.Size == 0:
		why = errors.New("the file is empty")
	case s.Size > m.maxSampleBytes && m.Size() < 0:
		why = fmt.Errorf("at least %d bytes, want at most %d", s.Size, m.maxSampleBytes)
	case s.Size > m.maxSampleBytes:
		why = fmt.Errorf("%d bytes, want at most %d", s.Size, m.maxSampleBytes)
	}
	if why != nil {
		s.Size, s.Image, s.Damage = 0, nil, &shard.Damage{What: "read", Why: why}
	}
	return &reader{sample: s}, nil
}

// readAll reads the file, of one that is too long a byte more than it may have.
func (m *Image) readAll(ctx context.Context) ([]byte, error) {
	src, err := shard.OpenStream(ctx, m.obj)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	return io.ReadAll(io.LimitReader(src, m.maxSampleBytes+1))
}

type reader struct {
	sample shard.Sample
	done   bool
}

func (r *reader) Next() (shard.Sample, error) {
	if r.done {
		return shard.Sample{}, io.EOF
	}
	r.done = true
	return r.sample, nil
}

func (r *reader) Close() error { return nil }

// OpenAt opens the file, or makes ready to read it in sequence.
func (m *Image) OpenAt(ctx context.Context) (shard.Fetcher, error) {
	obj, ok := m.obj.(shard.RandomAccess)
	if !ok {
		return whole{ctx, m.obj}, nil
	}
	src, err := shard.OpenAt(ctx, obj)
	if err != nil {
		return nil, err
	}
	return fetcher{src}, nil
}

type fetcher struct{ shard.ReaderAtCloser }

func (f fetcher) Fetch(_ *shard.Sample, dst []byte) error {
	return shard.ReadFullAt(f, dst, 0)
}

// whole fetches an image from an object that is read in sequence. It keeps the
// context of OpenAt: Fetch has no place for it.
type whole struct {
	ctx context.Context
	obj shard.Object
}

func (w whole) Fetch(_ *shard.Sample, dst []byte) error {
	src, err := shard.OpenStream(w.ctx, w.obj)
	if err != nil {
		return err
	}
	defer src.Close()
	n, err := io.ReadFull(src, dst)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("got %d of %d bytes: %w", n, len(dst), io.ErrUnexpectedEOF)
	}
	return err
}

func (w whole) Close() error { return nil }
