package sink

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"clpipe/batch"
)

// The run of these tests: 3 checkpoints of 2 steps each, a line of metrics a
// step, a reject a checkpoint, one checkpoint kept.
const lastStep = 6

var config = []byte("seed: 1\nworkers: 2\n")

// stateAt is what the run is after step steps.
func stateAt(step int) batch.State {
	s := batch.State{Cursor: json.RawMessage(fmt.Sprintf(`{"position":{"epoch":0,"index":%d}}`, 10*step))}
	s.Add("encoder_q.", batch.State{Tensors: tensors("conv1.weight", []float32{float32(step), 2, 3, 4}, 2, 2)})
	s.Add("queue.", batch.State{Tensors: tensors("ids", []uint64{uint64(step)})})
	return s
}

// train goes on from the newest checkpoint to the end and returns the step of
// the last checkpoint that Checkpoint has promised.
func train(d disk, dir string) (promised int, err error) {
	r, err := openRun(d, dir, Options{Config: config, Resume: true, Keep: 1})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if s := r.Finished(); s != nil {
		return s.Steps, nil
	}
	if c := r.From(); c != nil {
		promised = c.Step
		s, err := c.Load()
		if err != nil {
			return promised, err
		}
		if want := stateAt(c.Step); s.Digest() != want.Digest() {
			return promised, fmt.Errorf("the checkpoint of step %d holds another state", c.Step)
		}
	}
	for step := promised + 1; step <= lastStep; step++ {
		if err := r.Log(map[string]int{"step": step}); err != nil {
			return promised, err
		}
		// The loader is ahead of the trainer.
		if err := r.Reject(batch.Reject{Index: uint64(10*step + 5 - 10), What: "decode", Lost: 1}); err != nil {
			return promised, err
		}
		if step%2 == 0 {
			if err := r.Checkpoint(step, stateAt(step)); err != nil {
				return promised, err
			}
			promised = step
		}
	}
	return promised, r.Finish(Summary{Steps: lastStep, Rejected: r.Rejected(), Finished: true})
}

// contents returns all files below dir but the lock and what may be removed.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == lockFile || strings.Contains(path, tmpSuffix) {
			return err
		}
		text, err := os.ReadFile(path)
		all[strings.TrimPrefix(path, dir)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestRunSurvivesAPowerCutAtEveryCall(t *testing.T) {
	root := t.TempDir()
	whole := newCrashDisk(-1)
	if promised, err := train(whole, filepath.Join(root, "whole")); err != nil || promised != lastStep {
		t.Fatalf("without a fault: step %d, error %v", promised, err)
	}
	want := contents(t, filepath.Join(root, "whole"))

	for n, call := range whole.calls {
		dir := filepath.Join(root, fmt.Sprint(n))
		d := newCrashDisk(n)
		promised, err := train(d, dir)
		if !errors.Is(err, errPower) {
			t.Fatalf("power lost at call %d (%s): error %v", n, call, err)
		}
		if err := d.crash(); err != nil {
			t.Fatalf("power lost at call %d (%s): %v", n, call, err)
		}

		c, refused, err := Latest(dir)
		if err != nil || len(refused) > 0 {
			t.Fatalf("power lost at call %d (%s): refused %v, error %v", n, call, refused, err)
		}
		if got := stepOf(c); got < promised {
			t.Errorf("power lost at call %d (%s): checkpoint of step %d, promised was %d", n, call, got, promised)
		}
		if _, err := train(newCrashDisk(-1), dir); err != nil {
			t.Fatalf("power lost at call %d (%s), resumed: %v", n, call, err)
		}
		got := contents(t, dir)
		for name := range want {
			if got[name] != want[name] {
				t.Errorf("power lost at call %d (%s), resumed: %s: got %q, want %q", n, call, name, got[name], want[name])
			}
		}
		if len(got) != len(want) {
			t.Errorf("power lost at call %d (%s), resumed: got %d files, want %d", n, call, len(got), len(want))
		}
	}
}

func stepOf(c *Checkpoint) int {
	if c == nil {
		return 0
	}
	return c.Step
}

func TestFullDiskHarmsNoCheckpoint(t *testing.T) {
	dir := t.TempDir()
	d := newCrashDisk(-1)
	r, err := openRun(d, dir, Options{Config: config})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Checkpoint(1, stateAt(1)); err != nil {
		t.Fatal(err)
	}
	before := contents(t, dir)

	d.calls = nil
	if err := r.Checkpoint(2, stateAt(2)); err != nil {
		t.Fatal(err)
	}
	calls := d.calls
	if err := os.RemoveAll(filepath.Join(dir, checkpointsDir, stepName(2))); err != nil {
		t.Fatal(err)
	}
	for n, call := range calls {
		if !strings.HasPrefix(call, "write ") {
			continue
		}
		r.step = 1
		d.left, d.once, d.err = n, true, syscall.ENOSPC
		err := r.Checkpoint(2, stateAt(2))
		name := strings.TrimPrefix(call, "write ")
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), filepath.Join(dir, checkpointsDir, stepName(2)+tmpSuffix, name)) {
			t.Errorf("disk full at %q: error %v, want one that names the path", call, err)
		}
		if got := contents(t, dir); len(got) != len(before) {
			t.Errorf("disk full at %q: got %d files, want %d", call, len(got), len(before))
		}
		if left, err := filepath.Glob(filepath.Join(dir, checkpointsDir, "*"+tmpSuffix)); err != nil || len(left) > 0 {
			t.Errorf("disk full at %q: left behind %v (%v)", call, left, err)
		}
		c, refused, err := Latest(dir)
		if err != nil || len(refused) > 0 || stepOf(c) != 1 {
			t.Errorf("disk full at %q: checkpoint of step %d, refused %v, error %v", call, stepOf(c), refused, err)
		}
	}
	if err := r.Checkpoint(2, stateAt(2)); err != nil {
		t.Errorf("with room again: %v", err)
	}
}
