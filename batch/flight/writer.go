package flight

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/flight"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// counters are what has been sent of a stream, to all consumers.
type counters struct {
	consumers, opened    atomic.Int64 // now, and ever
	records, rows, bytes atomic.Int64
}

// writer is the stream to one consumer as a batch.Writer.
type writer struct {
	to    flight.DataStreamWriter
	mem   memory.Allocator
	count *counters
	w     *flight.Writer
	rows  int64
}

// Open implements batch.Writer. The schema goes out with the first record, or
// with finish.
func (w *writer) Open(_ context.Context, schema *arrow.Schema) error {
	if w.w != nil {
		return errors.New("batch/flight: a stream's schema is announced twice")
	}
	w.w = flight.NewRecordWriter(w, ipc.WithSchema(schema), ipc.WithAllocator(w.mem))
	return nil
}

// Write implements batch.Writer. It waits for a consumer that reads slowly.
func (w *writer) Write(ctx context.Context, rec arrow.Record) error {
	defer rec.Release()
	if w.w == nil {
		return errors.New("batch/flight: a record is written before the stream's schema is announced")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := w.w.Write(rec); err != nil {
		return fmt.Errorf("batch/flight: send: %w", err)
	}
	w.rows += rec.NumRows()
	w.count.records.Add(1)
	w.count.rows.Add(rec.NumRows())
	return nil
}

// Send implements flight.DataStreamWriter: it counts on the way.
func (w *writer) Send(d *flight.FlightData) error {
	if err := w.to.Send(d); err != nil {
		return err
	}
	w.count.bytes.Add(int64(len(d.DataHeader) + len(d.DataBody)))
	return nil
}

// finish sends what a stream without records owes its consumer: the schema.
func (w *writer) finish() error {
	if w.w == nil {
		return errors.New("batch/flight: the stream ended before it said what it holds")
	}
	return w.w.Close()
}
