package batch_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"clpipe/batch"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// read calls each with every record of a stream and returns its error, or the
// stream's, nil at a clean end.
func read(t testing.TB, mem memory.Allocator, src io.Reader, each func(*arrow.Schema, arrow.Record) error) error {
	r := batch.NewIPCReader("test", src, mem)
	defer r.Close()
	schema, err := r.Schema(t.Context())
	if err != nil {
		return err
	}
	for {
		rec, err := r.Read(t.Context())
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		err = each(schema, rec)
		rec.Release()
		if err != nil {
			r.Close()
			for err2 := error(nil); err2 == nil; { // until the reading goroutine has ended
				if rec, err2 = r.Read(t.Context()); err2 == nil {
					rec.Release()
				}
			}
			return err
		}
	}
}

// pixels is make.py's image of a row.
func pixels(row, view, n int) []byte {
	out := make([]byte, n)
	for j := range out {
		out[j] = byte(31*row + 7*view + j)
	}
	return out
}

// checkSamples compares a row's common columns with make.py's.
func checkSamples(t *testing.T, s *batch.Samples, i, row int, bare bool) {
	t.Helper()
	epoch, id := uint32(2), fmt.Sprintf("s/%d", row)
	if bare {
		epoch, id = 0, ""
	}
	if s.ID(i) != id || s.Epoch(i) != epoch {
		t.Errorf("row %d: id %q of epoch %d, want %q of %d", row, s.ID(i), s.Epoch(i), id, epoch)
	}
	if index, ok := s.Index(i); ok == bare || ok && index != uint64(100+row) {
		t.Errorf("row %d: index %d, %v", row, index, ok)
	}
	if label, ok := s.Label(i); ok != (!bare && row%3 != 0) || ok && label != int64(row) {
		t.Errorf("row %d: label %d, %v", row, label, ok)
	}
}

// TestPyarrowStreams reads what pyarrow wrote (testdata/pyarrow/make.py).
func TestPyarrowStreams(t *testing.T) {
	for _, name := range []string{
		"pairs", "pairs_batches", "pairs_none", "pairs_large_utf8", "pairs_sliced", "pairs_lz4", "pairs_zstd",
		"pairs_bare", "pairs_nonnull", "pairs_extra", "patches",
		"images", "images_native", "images_sliced", "images_zstd", "encoded", "encoded_large", "encoded_lz4",
	} {
		t.Run(name, func(t *testing.T) {
			mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
			defer mem.AssertSize(t, 0)
			file, err := os.Open(filepath.Join("testdata", "pyarrow", name+".arrows"))
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			row := 0
			err = read(t, mem, file, func(s *arrow.Schema, rec arrow.Record) error {
				if batch.MetadataOf(s)[batch.KeySeed] != "9" {
					t.Errorf("metadata is %v, want the seed 9", batch.MetadataOf(s))
				}
				switch kind := batch.KindOf(s); kind {
				case batch.PairsKind:
					p, err := batch.NewPairs(rec)
					if err != nil {
						return err
					}
					shape, views := []int{4, 4, 3}, [][]byte{p.Anchor, p.Positive}
					if name == "patches" {
						shape, views = []int{2, 2, 3, 3, 3}, [][]byte{p.Anchor}
						if p.Positive != nil {
							t.Error("a one-view stream has a positive")
						}
					}
					if !slices.Equal(p.Shape, shape) {
						t.Fatalf("shape %v, want %v", p.Shape, shape)
					}
					for i := range p.Len() {
						checkSamples(t, &p.Samples, i, row, name == "pairs_bare")
						for v, data := range views {
							n := len(data) / p.Len()
							if want := pixels(row, v, n); !bytes.Equal(data[i*n:(i+1)*n], want) {
								t.Errorf("row %d, view %d: got %v, want %v", row, v, data[i*n:(i+1)*n], want)
							}
						}
						row++
					}
				case batch.ImagesKind:
					im, err := batch.NewImages(rec)
					if err != nil {
						return err
					}
					for i := range im.Len() {
						checkSamples(t, &im.Samples, i, row, false)
						pix, h, w := im.Image(i)
						if h != 1+row%3 || w != 2+row%4 || !bytes.Equal(pix, pixels(row, 0, 3*h*w)) {
							t.Errorf("row %d: image [%d,%d,3] %v", row, h, w, pix)
						}
						row++
					}
				case batch.EncodedKind:
					e, err := batch.NewEncoded(rec)
					if err != nil {
						return err
					}
					for i := range e.Len() {
						checkSamples(t, &e.Samples, i, row, false)
						if want := pixels(row, 0, 10+row); !bytes.Equal(e.Bytes(i), want) {
							t.Errorf("row %d: file %v, want %v", row, e.Bytes(i), want)
						}
						row++
					}
				default:
					t.Fatalf("kind %q", kind)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			want := 6
			if name == "pairs_none" {
				want = 0
			}
			if row != want {
				t.Errorf("read %d rows, want %d", row, want)
			}
		})
	}
}

// TestPyarrowStreamsRefused reads what is not ours, and wants to be told why.
func TestPyarrowStreamsRefused(t *testing.T) {
	for name, want := range map[string]string{
		"bad_dictionary.arrows":  `column "label" is dictionary-encoded, which is not supported`,
		"bad_view.arrows":        `column "id" is a string view, which is not supported`,
		"bad_permutation.arrows": "permutation [2 0 1] is not supported",
		"bad_shape.arrows":       "shape [4 4 4] does not fill lists of 48",
		"bad_float.arrows":       `column "anchor" is float32, want arrow.fixed_shape_tensor of uint8`,
		"bad_null.arrows":        `column "anchor": 3 of 6 values are null`,
		"bad_label.arrows":       `column "label" is int32, want int64`,
		"bad_plain.arrows":       `column "anchor" is fixed_size_list<item: uint8, nullable>[48], want arrow.fixed_shape_tensor`,
		"bad_file.arrow":         "this is an Arrow file, want an Arrow stream",
	} {
		t.Run(name, func(t *testing.T) {
			mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
			defer mem.AssertSize(t, 0)
			file, err := os.Open(filepath.Join("testdata", "pyarrow", name))
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			err = read(t, mem, file, func(_ *arrow.Schema, rec arrow.Record) error {
				_, err := batch.NewPairs(rec)
				return err
			})
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got error %v, want one with %q", err, want)
			}
		})
	}
}
