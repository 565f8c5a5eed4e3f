package synth

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image/jpeg"
	"os"
	"path/filepath"

	"clpipe/internal/par"

	"golang.org/x/sync/errgroup"
)

// A Set is a labelled training and test set in WebDataset shards. It decides
// their bytes: equal sets give equal files.
type Set struct {
	Images int    `json:"images"` // of the training set
	Test   int    `json:"test"`   // of the test set, 0 for none
	Size   int    `json:"size"`   // width and height of an image in pixels, up to MaxSize
	Shards int    `json:"shards"` // of the training set; the test set is one shard
	Seed   uint64 `json:"seed"`
}

// MaxSize is the largest side of an image in a set: a bound against slips of the
// pen, for drawing takes a while.
const MaxSize = 4096

// maxImages is the most that keys of eight digits can number.
const maxImages = 100_000_000

// quality of the JPEG files, the one most image sets are stored in.
const quality = 90

// SetFile is the name of the file in a set's directory that describes it, as
// JSON. It stands there only beside all of the set's shards.
const SetFile = "synth.json"

// Validate returns everything that is wrong with s, joined.
func (s Set) Validate() error {
	return errors.Join(
		inRange("images", s.Images, 1, maxImages),
		inRange("test", s.Test, 0, maxImages),
		inRange("size", s.Size, 1, MaxSize),
		inRange("shards", s.Shards, 1, max(s.Images, 1)))
}

// inRange returns what is wrong with a field that must lie in [least,most].
func inRange(name string, got, least, most int) error {
	if got < least || got > most {
		return fmt.Errorf("synth: %s is %d, want %d to %d", name, got, least, most)
	}
	return nil
}

// ReadSet returns the set that a directory holds. The error is an
// fs.ErrNotExist if it holds none.
func ReadSet(dir string) (Set, error) {
	path := filepath.Join(dir, SetFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return Set{}, err
	}
	var s Set
	if err := json.Unmarshal(text, &s); err != nil {
		return Set{}, fmt.Errorf("synth: %s: %w", path, err)
	}
	return s, nil
}

// Write draws the set into dir, as train-000000.tar and so on, test-000000.tar
// and SetFile. dir must not exist, or be empty: on success it holds the whole
// set, else nothing of it. workers (0: one for each processor) draw a shard
// each; drawn, which may be nil, is told of every image from any of them.
func (s Set) Write(ctx context.Context, dir string, workers int, drawn func()) error {
	if err := s.Validate(); err != nil {
		return err
	}
	if err := s.write(ctx, dir, workers, drawn); err != nil {
		return fmt.Errorf("synth: write %s: %w", dir, err)
	}
	return nil
}

func (s Set) write(ctx context.Context, dir string, workers int, drawn func()) error {
	return writeWhole(dir, func(partial string) error {
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(par.Count(workers))
		for n := range s.Shards {
			from, to := s.Images*n/s.Shards, s.Images*(n+1)/s.Shards
			g.Go(func() error {
				return s.shard(ctx, filepath.Join(partial, fmt.Sprintf("train-%06d.tar", n)), from, to, trainPlace, drawn)
			})
		}
		if s.Test > 0 {
			g.Go(func() error {
				return s.shard(ctx, filepath.Join(partial, "test-000000.tar"), 0, s.Test, testPlace, drawn)
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
		text, err := json.Marshal(s)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(partial, SetFile), append(text, '\n'), 0o644)
	})
}

// writeWhole makes a directory of what fill writes into the one it is given. dir
// must not exist, or be empty: if fill succeeds it holds everything, else nothing.
func writeWhole(dir string, fill func(partial string) error) error {
	parent := filepath.Dir(filepath.Clean(dir))
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	// Beside dir, so that a rename brings it there.
	partial, err := os.MkdirTemp(parent, "."+filepath.Base(dir)+".*.partial")
	if err != nil {
		return err
	}
	defer os.RemoveAll(partial)
	if err := fill(partial); err != nil {
		return err
	}
	if err := os.Chmod(partial, 0o755); err != nil { // MkdirTemp keeps others out
		return err
	}
	if info, err := os.Lstat(dir); err == nil && info.IsDir() {
		if err := os.Remove(dir); err != nil {
			return err // not empty
		}
	}
	return os.Rename(partial, dir) // fails where a file stands
}

// trainPlace and testPlace are the image that sample n of its class is. Places
// of tests are below 0, so that no size of the training set moves them.
func trainPlace(n int) int { return n }
func testPlace(n int) int  { return -1 - n }

// shard writes samples [from,to), classes in turn.
func (s Set) shard(ctx context.Context, path string, from, to int, place func(int) int, drawn func()) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	buffer := bufio.NewWriterSize(file, 1<<18)
	archive := tar.NewWriter(buffer)
	var picture bytes.Buffer
	for n := from; n < to; n++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		class := n % len(figures)
		picture.Reset()
		if err := jpeg.Encode(&picture, Draw(s.Seed, class, place(n/len(figures)), s.Size), &jpeg.Options{Quality: quality}); err != nil {
			return err
		}
		key := fmt.Sprintf("%08d", n)
		if err := errors.Join(add(archive, key+".jpg", picture.Bytes()), add(archive, key+".cls", fmt.Append(nil, class))); err != nil {
			return err
		}
		if drawn != nil {
			drawn()
		}
	}
	return errors.Join(archive.Close(), buffer.Flush())
}

// add appends a file whose header holds nothing of the machine or the time.
func add(w *tar.Writer, name string, body []byte) error {
	h := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(body)), Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	_, err := w.Write(body)
	return err
}
