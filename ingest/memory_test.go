package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"clpipe/batch"
	"clpipe/ingest"
	"clpipe/ingest/internal/testserver"
	"clpipe/ingest/shard"

	"github.com/apache/arrow/go/v15/arrow/memory"
)

// TestReadingKeepsWithinItsMemory reads shards over the network, images of which are
// larger from shard to shard, and looks at what is held whenever a record has been
// read: images, blocks that wait for others, and records.
func TestReadingKeepsWithinItsMemory(t *testing.T) {
	const shards, samples = 12, 24
	files := map[string][]byte{}
	for i := range shards {
		var members []file
		for j := range samples {
			body := make([]byte, 20_000*(i+1)+997*j)
			copy(body, fmt.Sprint(i, j))
			members = append(members, file{fmt.Sprintf("%03d.jpg", j), body})
		}
		files[fmt.Sprintf("set/part-%02d.tar", i)] = archive(t, members...)
	}
	storeEnvironment(t, testserver.New(t, files).URL)
	shard.DropFree()
	before := shard.HeldBytes()
	for _, cached := range []bool{false, true} {
		mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
		cfg := ingest.Config{
			Sources: []string{"s3://bucket/set"}, Encoded: true, Shuffle: true, Epochs: 3, Interleave: 3, Workers: 3,
			ShuffleBytes: 8 << 20, RecordBytes: 1 << 20, Mem: mem,
		}.WithoutWaiting()
		if cached {
			cfg.CacheDir = t.TempDir()
		}
		src, err := ingest.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		most, peak, rows := src.HeldBytes()+src.ReadingBytes(), int64(0), 0
		look := func(ctx context.Context, in batch.Reader, _ batch.Writer) error {
			for {
				rec, err := in.Read(ctx)
				if errors.Is(err, io.EOF) {
					return nil
				}
				if err != nil {
					return err
				}
				peak = max(peak, shard.HeldBytes()+int64(mem.CurrentAlloc()))
				rows += int(rec.NumRows())
				rec.Release()
			}
		}
		if err := batch.Run(t.Context(), 1, nil, nil, src.Stage(), look); err != nil {
			t.Fatal(err)
		}
		between := 3 * src.Config().RecordBytes // records beside those of the source
		if rows != 3*shards*samples || peak > most+between || peak < cfg.ShuffleBytes {
			t.Errorf("cache %v: %d rows, up to %d bytes held, want %d, and at most %d and %d for the records between the stages",
				cached, rows, peak, 3*shards*samples, most, between)
		}
		t.Logf("cache %v: %d of %d bytes", cached, peak, most)
		mem.AssertSize(t, 0)
	}
	if held := shard.HeldBytes(); held != before {
		t.Errorf("%d bytes of blocks are held after the runs, %d before", held, before)
	}
}

// TestStoppedRunsLeaveNoImages stops runs at every record, read in sequence and by
// an index: all memory of images comes back.
func TestStoppedRunsLeaveNoImages(t *testing.T) {
	packed := packings(t)
	plain := shards(t, 9, 7, 8)
	makeIndex(t, ingest.Config{Sources: []string{plain}}, "")
	for name, cfg := range map[string]ingest.Config{
		"in sequence": {Sources: []string{packed}},
		"by an index": {Sources: []string{plain}, Index: ingest.AutoIndex, AheadBytes: 4 << 10},
	} {
		cfg.Shuffle, cfg.Epochs, cfg.Encoded, cfg.RecordRows, cfg.Workers = true, 0, true, 2, 3
		shard.DropFree()
		before := shard.HeldBytes()
		for rows := 1; rows < 60; rows++ {
			if _, _, err := read(t, cfg, rows); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if shard.DropFree(); shard.HeldBytes() != before {
			t.Errorf("%s: %d bytes are held after runs that were stopped, %d before", name, shard.HeldBytes(), before)
		}
	}
}
