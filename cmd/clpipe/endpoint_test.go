//go:build unix

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

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
