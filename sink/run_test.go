package sink_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"clpipe/batch"
	"clpipe/sink"

	"github.com/google/go-cmp/cmp"
	"gorgonia.org/tensor"
)

var config = []byte("method: moco\ntemperature: 0.1\nworkers: 2\n")

func open(t *testing.T, dir string, opt sink.Options) *sink.Run {
	t.Helper()
	if opt.Config == nil {
		opt.Config = config
	}
	r, err := sink.OpenRun(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() }) // a second Close does nothing
	return r
}

func state(step int) batch.State {
	return batch.State{
		Tensors: map[string]*tensor.Dense{
			"encoder_q.conv1.weight":            batch.NewTensor([]float32{float32(step), 1, 2}, 3),
			"encoder_q.bn1.num_batches_tracked": batch.NewTensor([]int64{int64(step)}),
			"queue.ids":                         batch.NewTensor([]uint64{7, 8}, 2),
		},
		Cursor: json.RawMessage(fmt.Sprintf(`{"position":{"epoch":%d,"index":100},"note":"any"}`, step)),
	}
}

// write makes a run with checkpoints of steps 1 to n and closes it.
func write(t *testing.T, dir string, n, keep int) {
	t.Helper()
	r := open(t, dir, sink.Options{Keep: keep})
	for step := 1; step <= n; step++ {
		if err := r.Checkpoint(step, state(step)); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

func checkpointPath(dir string, step int) string {
	return filepath.Join(dir, "checkpoints", fmt.Sprintf("step-%08d", step))
}

func TestCheckpointRoundTrip(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "runs", "x")
	write(t, dir, 1, 1)
	c, refused, err := sink.Latest(dir)
	if err != nil || len(refused) > 0 {
		t.Fatalf("refused %v, error %v", refused, err)
	}
	got, err := c.Load()
	if err != nil {
		t.Fatal(err)
	}
	want := state(1)
	if got.Digest() != want.Digest() {
		t.Errorf("got tensors %v, want %v", got.Tensors, want.Tensors)
	}
	var a, b any
	if err := errors.Join(json.Unmarshal(got.Cursor, &a), json.Unmarshal(want.Cursor, &b)); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(b, a); d != "" {
		t.Errorf("cursor: -want +got\n%s", d)
	}
	if c.Step != 1 || *c.Position != (batch.Position{Epoch: 1, Index: 100}) {
		t.Errorf("got step %d, position %v", c.Step, c.Position)
	}
	encoder, err := c.Group("encoder_q")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := encoder.Tensors["conv1.weight"]; !ok || len(encoder.Tensors) != 2 {
		t.Errorf("encoder_q: got %v", encoder.Tensors)
	}
	if _, err := c.Group("encoder_k"); err == nil || !strings.Contains(err.Error(), "encoder_q, queue") {
		t.Errorf("a group that is missing: error %v", err)
	}
	if text, err := c.Config(); err != nil || string(text) != string(config) {
		t.Errorf("config: got %q, error %v", text, err)
	}
}

func TestResumeCutsBackToTheCheckpoint(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir, sink.Options{})
	log := func(step int) {
		t.Helper()
		if err := r.Log(map[string]any{"step": step, "loss": 1.5}); err != nil {
			t.Fatal(err)
		}
	}
	reject := func(epoch uint32, index uint64) {
		t.Helper()
		if err := r.Reject(batch.Reject{Shard: "a.tar", Key: "k", Epoch: epoch, Index: index, What: "decode", Why: "x", Lost: 2, GivenUp: index == 101 || index == 500}); err != nil {
			t.Fatal(err)
		}
	}
	log(1)
	reject(1, 99)
	reject(1, 101) // read ahead of the trainer, in another order
	reject(0, 500)
	if err := r.Checkpoint(1, state(1)); err != nil { // position 1:100
		t.Fatal(err)
	}
	log(2)
	reject(2, 0)
	reject(1, 100)
	r.Close()
	for _, name := range []string{"metrics.jsonl", "rejected.jsonl"} {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(`{"step":1,"epo`); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}

	r = open(t, dir, sink.Options{Resume: true})
	if !r.GaveUp() {
		t.Error("a shard was given up before the restart: want that remembered")
	}
	if c := r.From(); c == nil || c.Step != 1 || len(r.Refused()) > 0 {
		t.Fatalf("goes on from %v, refused %v", c, r.Refused())
	}
	if got := r.Rejected(); got != 4 {
		t.Errorf("got %d rejected, want 4", got)
	}
	log(2)
	if got, want := lines(t, dir, "metrics.jsonl"), []string{`{"loss":1.5,"step":1}`, `{"loss":1.5,"step":2}`}; !slices.Equal(got, want) {
		t.Errorf("metrics: got %q, want %q", got, want)
	}
	rejected := lines(t, dir, "rejected.jsonl")
	if len(rejected) != 2 || !strings.Contains(rejected[0], `"index":99`) || !strings.Contains(rejected[1], `"index":500`) {
		t.Errorf("rejected: got %q, want those of 1:99 and 0:500", rejected)
	}
}

// The end of an epoch belongs to the checkpoint of its last step, or comes after it:
// the cursor tells.
func TestResumeCutsAnEpochsEndThatIsWrittenAgain(t *testing.T) {
	for _, c := range []struct {
		open, want int // steps of the epoch under way, entries left
	}{{0, 2}, {7, 1}} {
		dir := t.TempDir()
		r := open(t, dir, sink.Options{})
		s := state(7)
		s.Cursor = fmt.Appendf(nil, `{"epoch_steps":%d}`, c.open)
		err := errors.Join(r.Log(map[string]any{"step": 7, "loss": 1.5}), r.Checkpoint(7, s), r.Log(map[string]any{"step": 7, "epoch_steps": 7}), r.Close())
		if err != nil {
			t.Fatal(err)
		}
		r = open(t, dir, sink.Options{Resume: true})
		r.Close()
		if got := lines(t, dir, "metrics.jsonl"); len(got) != c.want {
			t.Errorf("with %d steps of the epoch under way %q stay, want %d lines", c.open, got, c.want)
		}
	}
}

func lines(t *testing.T, dir, name string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

func TestResumeWithoutCheckpointBeginsAnew(t *testing.T) {
	dir := t.TempDir()
	r := open(t, filepath.Join(dir, "new"), sink.Options{Resume: true})
	if r.From() != nil {
		t.Errorf("a new directory: goes on from %v", r.From())
	}
	if err := r.Log(map[string]int{"step": 0}); err != nil {
		t.Fatal(err)
	}
	if err := r.Reject(batch.Reject{Lost: 1}); err != nil {
		t.Fatal(err)
	}
	r.Close()
	r = open(t, filepath.Join(dir, "new"), sink.Options{Resume: true})
	if r.From() != nil || r.Rejected() != 0 {
		t.Errorf("without a checkpoint: goes on from %v with %d rejected", r.From(), r.Rejected())
	}
	for _, name := range []string{"metrics.jsonl", "rejected.jsonl"} {
		if text, err := os.ReadFile(filepath.Join(dir, "new", name)); err != nil || len(text) > 0 {
			t.Errorf("%s: got %q, error %v, want nothing", name, text, err)
		}
	}
}

func TestDamagedCheckpointIsRefused(t *testing.T) {
	flip := func(text []byte) []byte { text[len(text)/2] ^= 1; return text }
	half := func(text []byte) []byte { return text[:len(text)/2] }
	for _, c := range []struct {
		name   string
		file   string
		change func(text []byte) []byte // nil result: the file goes
		want   string
	}{
		{"tensors missing", "encoder_q.safetensors", func([]byte) []byte { return nil }, "encoder_q.safetensors"},
		{"tensors cut off", "queue.safetensors", half, "queue.safetensors: it was altered or cut off"},
		{"tensors empty", "queue.safetensors", func([]byte) []byte { return []byte{} }, "queue.safetensors: it was altered or cut off"},
		{"a bit of a tensor flipped", "encoder_q.safetensors", flip, "encoder_q.safetensors: it was altered or cut off"},
		{"state missing", "state.json", func([]byte) []byte { return nil }, "state.json"},
		{"state altered", "state.json", flip, "state.json: it was altered or cut off"},
		{"config altered", "config.yaml", flip, "config.yaml: it was altered or cut off"},
		{"sums missing", "SHA256SUMS", func([]byte) []byte { return nil }, "SHA256SUMS"},
		{"sums cut off", "SHA256SUMS", half, "SHA256SUMS: line"},
		{"sums empty", "SHA256SUMS", func([]byte) []byte { return []byte{} }, "SHA256SUMS: it does not list state.json"},
		{"a line of the sums missing", "SHA256SUMS", func(text []byte) []byte {
			return text[bytes.IndexByte(text, '\n')+1:]
		}, `SHA256SUMS: it lists tensors of ["queue"], want ["encoder_q" "queue"]`},
		{"sums of another place", "SHA256SUMS", func(text []byte) []byte {
			return []byte(strings.Replace(string(text), "  state.json", "  ../state.json", 1))
		}, "want a SHA-256 and a name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, 2, 2)
			path := filepath.Join(checkpointPath(dir, 2), c.file)
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if text = c.change(text); text == nil {
				err = os.Remove(path)
			} else {
				err = os.WriteFile(path, text, 0o666)
			}
			if err != nil {
				t.Fatal(err)
			}

			r := open(t, dir, sink.Options{Resume: true})
			if from := r.From(); from == nil || from.Step != 1 {
				t.Fatalf("goes on from %v, want step 1", from)
			}
			if len(r.Refused()) != 1 {
				t.Fatalf("got %d refused, want 1", len(r.Refused()))
			}
			for _, want := range []string{"step-00000002", c.want} {
				if err := r.Refused()[0]; !strings.Contains(err.Error(), want) {
					t.Errorf("got error %q, want one with %q", err, want)
				}
			}
			if _, err := os.Stat(checkpointPath(dir, 2) + ".refused"); err != nil {
				t.Errorf("it was not set aside: %v", err)
			}
			if err := r.Checkpoint(2, state(2)); err != nil {
				t.Errorf("the step again: %v", err)
			}
			if got, refused, err := sink.Latest(dir); err != nil || len(refused) > 0 || got.Step != 2 {
				t.Errorf("then: %v, refused %v, error %v", got, refused, err)
			}
		})
	}
}

// A state.json that is wrong though its sum is right: by another program, or
// by a later version.
func TestCheckpointOfAnotherFormatIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"not JSON":       `{"format":1,`,
		"later format":   `{"format":2,"step":2,"groups":["encoder_q","queue"],"cursor":null}`,
		"another step":   `{"format":1,"step":3,"groups":["encoder_q","queue"],"cursor":null}`,
		"wrong position": `{"format":1,"step":2,"groups":["encoder_q","queue"],"cursor":{"position":"here"}}`,
	} {
		dir := t.TempDir()
		write(t, dir, 2, 2)
		replaceWithSum(t, checkpointPath(dir, 2), "state.json", text)
		c, refused, err := sink.Latest(dir)
		if err != nil || c.Step != 1 || len(refused) != 1 || !strings.Contains(refused[0].Error(), "step-00000002") {
			t.Errorf("%s: got %v, refused %v, error %v", name, c, refused, err)
		}
	}
}

func TestNoIntactCheckpointIsAnError(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, 2, 2)
	for step := 1; step <= 2; step++ {
		if err := os.Truncate(filepath.Join(checkpointPath(dir, step), "queue.safetensors"), 9); err != nil {
			t.Fatal(err)
		}
	}
	_, err := sink.OpenRun(dir, sink.Options{Config: config, Resume: true})
	for _, want := range []string{"no checkpoint is intact", "step-00000001", "step-00000002"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want one with %q", err, want)
		}
	}
	// Nothing was changed: what is left may still be rescued by hand.
	if _, err := os.Stat(checkpointPath(dir, 2)); err != nil {
		t.Error(err)
	}
}

func TestDirectoryInUseIsAUsageError(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, 1, 1)
	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "photo.jpg"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		dir  string
		opt  sink.Options
		want string
	}{
		{"not empty", dir, sink.Options{Config: config}, "not empty"},
		{"of other things", other, sink.Options{Config: config}, "other files"},
		{"of other things, resumed", other, sink.Options{Config: config, Resume: true}, "other files"},
		{"other settings", dir, sink.Options{Config: []byte("method: simclr\ntemperature: 0.1\nworkers: 8\nlr: 3\n"), Resume: true, Ignore: []string{"workers"}},
			"lr: not set, now 3; method: moco, now simclr"},
	} {
		_, err := sink.OpenRun(c.dir, c.opt)
		var usage *sink.UsageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.dir) {
			t.Errorf("%s: got %v, want a usage error with %q", c.name, err, c.want)
		}
	}
	if left, err := os.ReadDir(other); err != nil || len(left) != 1 {
		t.Errorf("a directory that was refused holds %v, %v, want what it held", left, err)
	}
	r, err := sink.OpenRun(dir, sink.Options{Config: []byte("method: moco\ntemperature: 0.1\nworkers: 8\n"), Resume: true, Ignore: []string{"workers"}})
	if err != nil {
		t.Fatalf("other workers: %v", err)
	}
	r.Close()
}

func TestFinishedRunIsDone(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir, sink.Options{})
	if err := r.Checkpoint(1, state(1)); err != nil {
		t.Fatal(err)
	}
	want := sink.Summary{
		Digests: sink.Digests{Order: "ab", Weights: state(1).Digest()}, Steps: 1, Epochs: 0.5, Samples: 128, Comparable: true,
		WallSeconds: 2.5, Versions: map[string]string{"go": "1.26"},
	}
	if err := r.Finish(want); err != nil { // interrupted
		t.Fatal(err)
	}
	r.Close()
	r = open(t, dir, sink.Options{Resume: true})
	if r.Finished() != nil || r.From() == nil {
		t.Fatalf("interrupted: finished %v, goes on from %v", r.Finished(), r.From())
	}
	want.Finished = true
	if err := r.Finish(want); err != nil {
		t.Fatal(err)
	}
	r.Close()
	r = open(t, dir, sink.Options{Resume: true})
	if d := cmp.Diff(&want, r.Finished()); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	if err := r.Log(map[string]int{"step": 2}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("writing to a finished run: error %v", err)
	}
	r.Close()
	var usage *sink.UsageError
	if _, err := sink.OpenRun(dir, sink.Options{Config: []byte("method: cpc"), Resume: true}); !errors.As(err, &usage) {
		t.Errorf("with other settings: error %v", err)
	}
}

func TestLockKeepsOthersOut(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir, sink.Options{})
	_, err := sink.OpenRun(dir, sink.Options{Config: config, Resume: true})
	var locked *sink.LockedError
	if !errors.As(err, &locked) || locked.PID != os.Getpid() || !strings.Contains(err.Error(), dir) {
		t.Fatalf("got error %v, want a lock of process %d", err, os.Getpid())
	}
	// Looking is allowed.
	if _, _, err := sink.Latest(dir); err != nil {
		t.Error(err)
	}
	r.Close()
	open(t, dir, sink.Options{Resume: true})
}

// A process that is killed leaves no lock behind. The process is this test's
// own program, told by its environment to hold the lock until it dies.
func TestKilledProcessLeavesNoLock(t *testing.T) {
	const variable = "CLPIPE_TEST_HOLD_LOCK"
	if dir := os.Getenv(variable); dir != "" {
		open(t, dir, sink.Options{})
		fmt.Println("locked")
		io.Copy(io.Discard, os.Stdin) // until it is killed, or its parent is no more
		return
	}
	dir := t.TempDir()
	holder := exec.Command(os.Args[0], "-test.run=^TestKilledProcessLeavesNoLock$")
	holder.Env = append(os.Environ(), variable+"="+dir)
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	defer holder.Process.Kill()
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "locked\n" {
		t.Fatalf("the other process says %q (%v)", line, err)
	}
	_, err = sink.OpenRun(dir, sink.Options{Config: config, Resume: true})
	var locked *sink.LockedError
	if !errors.As(err, &locked) || locked.PID != holder.Process.Pid {
		t.Errorf("got error %v, want a lock of process %d", err, holder.Process.Pid)
	}
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	holder.Wait() // an error: it was killed
	open(t, dir, sink.Options{Resume: true})
}

func TestKeepNewestCheckpoints(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, 5, 2)
	names, err := filepath.Glob(filepath.Join(dir, "checkpoints", "*"))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{checkpointPath(dir, 4), checkpointPath(dir, 5)}; !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
}

func TestCheckpointRefusesBadNamesAndSteps(t *testing.T) {
	r := open(t, t.TempDir(), sink.Options{})
	if err := r.Checkpoint(5, state(5)); err != nil {
		t.Fatal(err)
	}
	if err := r.Checkpoint(4, state(4)); err == nil || !strings.Contains(err.Error(), "step 4, the newest is of step 5") {
		t.Errorf("an earlier step: error %v", err)
	}
	for _, name := range []string{"weight", ".weight", "a.", "a/b.weight", "../x.weight", "é.weight"} {
		s := batch.State{Tensors: map[string]*tensor.Dense{name: batch.NewTensor([]uint8{1}, 1)}}
		if err := r.Checkpoint(6, s); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", name)) {
			t.Errorf("tensor %q: error %v", name, err)
		}
	}
	if err := r.Log(map[string]any{"loss": func() {}}); err == nil || !strings.Contains(err.Error(), "metrics.jsonl") {
		t.Errorf("an entry that is not JSON: error %v", err)
	}
}

func TestDiffConfig(t *testing.T) {
	before := []byte("a: 1\nb: {c: x, d: [1, 2]}\nval: {src: a}\n")
	now := []byte("a: 1.5\nb: {c: x, d: [1, 3]}\nval: {src: b}\ne: " + strings.Repeat("é", 100) + "\n")
	got, err := sink.DiffConfig(before, now, []string{"val"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"a: 1, now 1.5", "b.d: [1 2], now [1 3]", "e: not set, now " + strings.Repeat("é", 28) + "…"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, err := sink.DiffConfig(before, before, nil); err != nil || len(got) != 0 {
		t.Errorf("the same: got %q, error %v", got, err)
	}
	if _, err := sink.DiffConfig([]byte("a: [1"), now, nil); err == nil {
		t.Error("not YAML: no error")
	}
}

// replaceWithSum writes a file of a checkpoint anew, with its sum.
func replaceWithSum(t *testing.T, dir, name, text string) {
	t.Helper()
	sums := lines(t, dir, "SHA256SUMS")
	for i, line := range sums {
		if strings.HasSuffix(line, "  "+name) {
			sums[i] = fmt.Sprintf("%x  %s", sha256.Sum256([]byte(text)), name)
		}
	}
	if err := errors.Join(
		os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666),
		os.WriteFile(filepath.Join(dir, "SHA256SUMS"), []byte(strings.Join(sums, "\n")+"\n"), 0o666),
	); err != nil {
		t.Fatal(err)
	}
}
