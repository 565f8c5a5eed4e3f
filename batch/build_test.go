package batch_test

import (
	"bytes"
	"fmt"
	"testing"

	"clpipe/batch"

	"github.com/apache/arrow/go/v15/arrow/memory"
	"pgregory.net/rapid"
)

// TestPairsBuilderLeavesRowsOut keeps any rows of a record: they close up.
func TestPairsBuilderLeavesRowsOut(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
		keep := rapid.SliceOfN(rapid.Bool(), 0, 9).Draw(rt, "keep")
		views := rapid.IntRange(1, 2).Draw(rt, "views")
		b := batch.NewPairsBuilder(mem, batch.PairsSchema(nil, views, 2, 2, 3), len(keep))
		for i := range keep {
			b.SetRow(i, batch.Row{ID: fmt.Sprint(i), Index: uint64(i)})
			for v := range b.Views() {
				copy(b.View(v, i), pixels(i, v, 12))
			}
		}
		rec := b.NewRecord(keep)
		p, err := batch.NewPairs(rec)
		if err != nil {
			rt.Fatal(err)
		}
		n := 0
		for i, kept := range keep {
			if !kept {
				continue
			}
			if n >= p.Len() {
				rt.Fatalf("%d rows of %v", p.Len(), keep)
			}
			if p.ID(n) != fmt.Sprint(i) {
				rt.Fatalf("row %d is %s, want %d", n, p.ID(n), i)
			}
			for v, data := range [][]byte{p.Anchor, p.Positive}[:views] {
				if !bytes.Equal(data[12*n:12*n+12], pixels(i, v, 12)) {
					rt.Fatalf("row %d, view %d: got %v", n, v, data[12*n:12*n+12])
				}
			}
			n++
		}
		if p.Len() != n {
			rt.Fatalf("%d rows, want %d", p.Len(), n)
		}
		if (p.AnchorTensor() == nil) != (n == 0) || (p.PositiveTensor() == nil) != (n == 0 || views == 1) {
			rt.Fatalf("tensors %v, %v of %d rows, %d views", p.AnchorTensor(), p.PositiveTensor(), n, views)
		}
		rec.Release()
		mem.AssertSize(rt, 0)
	})
}

// TestTensorsShareMemory: a view's bytes are those of its column.
func TestTensorsShareMemory(t *testing.T) {
	b := batch.NewPairsBuilder(memory.DefaultAllocator, batch.PairsSchema(nil, 2, 2, 2, 3), 2)
	first := b.View(0, 1)
	p, err := batch.NewPairs(b.NewRecord(nil))
	if err != nil {
		t.Fatal(err)
	}
	first[3] = 77
	if got := p.AnchorTensor().Raw[15]; got != 77 || p.Anchor[15] != 77 {
		t.Errorf("the tensor holds %d, the view %d, want 77", got, p.Anchor[15])
	}
}

// TestBuildersBeginAnew builds several records with one builder, and sees them
// in slices of the records, too.
func TestBuildersBeginAnew(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	files := batch.NewEncodedBuilder(mem, batch.EncodedSchemaWithOffsets(nil))
	defer files.Release()
	images := batch.NewImagesBuilder(mem, batch.ImagesSchema(nil))
	defer images.Release()
	for _, n := range []int{3, 0, 5} {
		size := 0
		for i := range n {
			row := batch.Row{ID: fmt.Sprint(i), Epoch: 4, Index: uint64(i), Label: -1, HasLabel: i == 1, Offset: int64(512 * i)}
			files.Append(row, pixels(i, 0, i))
			images.Append(row, pixels(i, 0, 3*(i+1)*2), i+1, 2)
			size += 3 * (i + 1) * 2
		}
		if files.Len() != n || images.Len() != n || images.Bytes() != size || files.Bytes() != n*(n-1)/2 {
			t.Errorf("gathered %d files of %d bytes and %d images of %d, want %d of each, of %d and %d bytes",
				files.Len(), files.Bytes(), images.Len(), images.Bytes(), n, n*(n-1)/2, size)
		}
		rec, imageRec := files.NewRecord(), images.NewRecord()
		for from := range int64(n + 1) {
			slice, imageSlice := rec.NewSlice(from, int64(n)), imageRec.NewSlice(from, int64(n))
			e, err := batch.NewEncoded(slice)
			if err != nil {
				t.Fatal(err)
			}
			im, err := batch.NewImages(imageSlice)
			if err != nil {
				t.Fatal(err)
			}
			for i := range e.Len() {
				row := i + int(from)
				pix, h, w := im.Image(i)
				if e.ID(i) != fmt.Sprint(row) || e.Offset(i) != int64(512*row) || !bytes.Equal(e.Bytes(i), pixels(row, 0, row)) ||
					im.ID(i) != e.ID(i) || h != row+1 || w != 2 || !bytes.Equal(pix, pixels(row, 0, 3*h*w)) {
					t.Errorf("row %d: file %s at %d %v, image %s [%d,%d] %v", row, e.ID(i), e.Offset(i), e.Bytes(i), im.ID(i), h, w, pix)
				}
			}
			slice.Release()
			imageSlice.Release()
		}
		rec.Release()
		imageRec.Release()
	}
}

// TestPairsBuilderReleased gives a builder up before its record.
func TestPairsBuilderReleased(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	b := batch.NewPairsBuilder(mem, batch.PairsSchema(nil, 2, 2, 2, 3), 4)
	b.Release()
	b.Release()
}
