//go:build unix

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"clpipe/augment"
)

// TestRecordsStayBelowWhatReadersTake asks for more pairs than a record may hold.
func TestRecordsStayBelowWhatReadersTake(t *testing.T) {
	policy, err := augment.Builtin("simclr", 224)
	if err != nil {
		t.Fatal(err)
	}
	if rows := pairsInRecord(policy, 256, maxRecordBytes); rows != 256 {
		t.Errorf("got %d rows, want the 256 that fit", rows)
	}
	rows := pairsInRecord(policy, 1<<20, maxRecordBytes)
	if bytes := rows * policy.RowBytes(); bytes > maxRecordBytes || bytes+policy.RowBytes() <= maxRecordBytes {
		t.Errorf("got %d rows of %d bytes, want as many as fit into %d", rows, policy.RowBytes(), maxRecordBytes)
	}
	if rows := pairsInRecord(policy, 256, 1); rows != 1 {
		t.Errorf("got %d rows, want the one that a record has at least", rows)
	}
}

// TestWaitForTheOtherEndIsCancelled opens ends of which there is no other.
func TestWaitForTheOtherEndIsCancelled(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path string
		flag int
	}{
		{fifo, os.O_RDONLY},
		{fifo, os.O_WRONLY | os.O_CREATE | os.O_TRUNC},
		{listenPrefix + filepath.Join(dir, "socket"), os.O_RDONLY},
		{connectPrefix + filepath.Join(dir, "nobody"), os.O_RDONLY},
	} {
		ctx, cancel := context.WithCancel(context.Background())
		failed := make(chan error)
		go func() {
			_, err := openEnd(ctx, c.path, c.flag)
			failed <- err
		}()
		cancel()
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want context canceled", c.path, err)
		}
	}
}

// TestNobodyListens connects to sockets that are not there, until patience ends: while
// it is waited, or within the attempt.
func TestNobodyListens(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "nobody")
	want := "connect to unix:" + socket + ": nobody listens there: start the other process on unix-listen:" + socket
	for _, patience := range []time.Duration{time.Microsecond, 10 * time.Millisecond} {
		if _, err := connect(context.Background(), socket, patience); err == nil || err.Error() != want {
			t.Errorf("patience %v: got %v, want %s", patience, err, want)
		}
	}
}
