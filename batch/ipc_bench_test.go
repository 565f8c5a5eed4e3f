package batch_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"clpipe/batch"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// BenchmarkIPCRead reads a stream of records of 256 pairs of side 64 from
// memory, here and with Arrow's own reader.
func BenchmarkIPCRead(b *testing.B) {
	const records, rows, side = 16, 256, 64
	mem := memory.DefaultAllocator
	schema := batch.PairsSchema(nil, 2, side, side, 3)
	var whole bytes.Buffer
	w := batch.NewIPCWriter("buffer", &whole, mem)
	if err := w.Open(b.Context(), schema); err != nil {
		b.Fatal(err)
	}
	for range records {
		if err := w.Write(b.Context(), batch.NewPairsBuilder(mem, schema, rows).NewRecord(nil)); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Finish(); err != nil {
		b.Fatal(err)
	}
	for _, impl := range []struct {
		name string
		run  func() (int64, error)
	}{
		{"clpipe", func() (n int64, err error) {
			err = read(b, mem, bytes.NewReader(whole.Bytes()), func(_ *arrow.Schema, rec arrow.Record) error {
				n += rec.NumRows()
				return nil
			})
			return n, err
		}},
		{"recycling", func() (n int64, err error) {
			r := batch.NewIPCReader("buffer", bytes.NewReader(whole.Bytes()), mem)
			r.Recycle()
			defer r.Close()
			for {
				rec, err := r.Read(b.Context())
				if err == io.EOF {
					return n, nil
				}
				if err != nil {
					return n, err
				}
				n += rec.NumRows()
				rec.Release()
			}
		}},
		{"arrow", func() (n int64, err error) {
			r, err := ipc.NewReader(bytes.NewReader(whole.Bytes()), ipc.WithAllocator(mem))
			if err != nil {
				return 0, err
			}
			defer r.Release()
			for r.Next() {
				n += r.Record().NumRows()
			}
			return n, r.Err()
		}},
	} {
		b.Run("impl="+impl.name, func(b *testing.B) {
			b.SetBytes(int64(whole.Len()))
			b.ReportAllocs()
			for b.Loop() {
				if n, err := impl.run(); err != nil || n != records*rows {
					b.Fatalf("%d rows, %v", n, err)
				}
			}
		})
	}
}

// BenchmarkIPCWrite writes records of 256 pairs to where they vanish: what is
// measured is what a record costs beside its bytes.
func BenchmarkIPCWrite(b *testing.B) {
	const rows = 256
	mem := memory.DefaultAllocator
	for _, side := range []int{32, 64} {
		schema := batch.PairsSchema(nil, 2, side, side, 3)
		rec := batch.NewPairsBuilder(mem, schema, rows).NewRecord(nil)
		b.Run(fmt.Sprintf("side=%d", side), func(b *testing.B) {
			w := batch.NewIPCWriter("nowhere", io.Discard, mem)
			if err := w.Open(b.Context(), schema); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(rows * 2 * 3 * side * side))
			b.ReportAllocs()
			for b.Loop() {
				rec.Retain()
				if err := w.Write(b.Context(), rec); err != nil {
					b.Fatal(err)
				}
			}
		})
		rec.Release()
	}
}
