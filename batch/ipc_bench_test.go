package batch_test

import (
	"bytes"
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
