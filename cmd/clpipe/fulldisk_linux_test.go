package main

import (
	"path/filepath"
	"syscall"
	"testing"
)

// TestFullDisk fills a small file system with checkpoints, makes it larger, and
// wants the run to go on as if nothing had been.
func TestFullDisk(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=2800k"); err != nil {
		t.Skipf("no file system of our own: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(disk, syscall.MNT_DETACH) })
	set := shardsIn(t)
	whole, run := filepath.Join(t.TempDir(), "whole"), filepath.Join(disk, "run")
	train(t, "--src", set, "--run", whole, "--steps", "8").start().wantCode(exitDone)

	args := []string{"--src", set, "--run", run, "--steps", "8", "--checkpoint-every", "1", "--resume"}
	full := train(t, args...).start()
	full.wantCode(exitFailed)
	full.wantStderr("no space left on device")
	full.wantStderr("free some space")
	if last, _ := checkpoints(run); last == "" {
		t.Fatal("the disk was full before the first checkpoint: the test is about those that stay")
	}
	if err := syscall.Mount("tmpfs", disk, "tmpfs", syscall.MS_REMOUNT, "size=20m"); err != nil {
		t.Fatal(err)
	}
	train(t, args...).start().wantCode(exitDone)
	if err := sameOutcome(whole, run); err != nil {
		t.Error(err)
	}

	p := command(t, "ingest", "--src", set, "-o", "/dev/full").start()
	p.wantCode(exitFailed)
	p.wantStderr("no space left on device")
}
