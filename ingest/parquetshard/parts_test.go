package parquetshard_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"clpipe/ingest/parquetshard"
	"clpipe/ingest/shard"
)

// requested is a file in memory that counts what it is asked for.
type requested struct {
	memory
	asked atomic.Int64
	lost  int64 // the request that fails, counted from 1; 0: none
}

var errLost = errors.New("lost")

func (r *requested) OpenRange(ctx context.Context, from, to int64) (io.ReadCloser, error) {
	if r.asked.Add(1) == r.lost {
		return nil, errLost
	}
	return r.memory.OpenRange(ctx, from, to)
}

func openTable(t *testing.T, lost int64) (*requested, shard.Reader) {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("..", "testdata", "tables", "plain.parquet")) // three row groups of three columns
	if err != nil {
		t.Fatal(err)
	}
	obj := &requested{memory: body, lost: lost}
	r, err := parquetshard.New(obj, 1<<20).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return obj, r
}

// TestSmallColumnsAreFetchedTogether asks for each row group once, and for the next
// one while a group is gone through.
func TestSmallColumnsAreFetchedTogether(t *testing.T) {
	obj, r := openTable(t, 0)
	rows := 0
	for {
		_, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		rows++
	}
	if err := r.Close(); err != nil || rows != 12 || obj.asked.Load() != 1+3 {
		t.Errorf("got %d rows by %d requests, %v, want 12 by one for the footer and three", rows, obj.asked.Load(), err)
	}

	obj, r = openTable(t, 0)
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil || obj.asked.Load() != 1+2 {
		t.Errorf("%d requests, %v, want the footer's, the first row group's and that of the next", obj.asked.Load(), err)
	}
}

// TestLostPartIsNoDamage loses the request for the last row group.
func TestLostPartIsNoDamage(t *testing.T) {
	_, r := openTable(t, 1+3)
	var err error
	rows := -1
	for ; err == nil; rows++ {
		_, err = r.Next()
	}
	r.Close()
	if damage := (*shard.Damage)(nil); !errors.Is(err, errLost) || errors.As(err, &damage) || rows != 8 {
		t.Errorf("got %v after %d rows, want %v after 8", err, rows, errLost)
	}
}
