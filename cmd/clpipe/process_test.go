//go:build !windows

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"clpipe/batch"
	"clpipe/internal/synth"
	"clpipe/sink"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"golang.org/x/sys/unix"
)

// patience bounds every wait for a process: far more than any needs.
const patience = 2 * time.Minute

// small are the settings of the runs here: 40 samples are 5 steps.
var small = []string{"--width", "0.125", "--size", "16", "--batch", "8", "--queue", "32", "--dim", "16", "--split-bn", "1"}

// shardsIn writes a set of 40 images in two shards and returns its directory.
func shardsIn(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "set")
	if err := (synth.Set{Images: 40, Size: 16, Shards: 2, Seed: 1}).Write(t.Context(), dir, 0, nil); err != nil {
		t.Fatal(err)
	}
	return dir
}

// process is a clpipe under way. Its outputs may be read once it has ended.
type process struct {
	*exec.Cmd
	t              *testing.T
	stdout, stderr bytes.Buffer
	ended          chan struct{}
}

// command returns a clpipe that has not started: TestMain has put this test's
// program into the path under that name.
func command(t *testing.T, args ...string) *process {
	p := &process{Cmd: exec.Command("clpipe", args...), t: t, ended: make(chan struct{})}
	p.Stdout, p.Stderr = &p.stdout, &p.stderr
	return p
}

func (p *process) start() *process {
	p.t.Helper()
	if err := p.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		p.Wait() // the exit code is looked at by code
	}()
	p.t.Cleanup(func() { p.Process.Kill(); <-p.ended })
	return p
}

// code waits for the end and returns the exit code, -1 for a killed process.
func (p *process) code() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.Process.Signal(syscall.SIGQUIT)
		<-p.ended
		p.t.Fatalf("%v does not end:\n%s", p.Args, &p.stderr)
	}
	return p.ProcessState.ExitCode()
}

func (p *process) wantCode(want int) {
	p.t.Helper()
	if got := p.code(); got != want {
		p.t.Fatalf("%v ended with %d, want %d:\n%s", p.Args, got, want, &p.stderr)
	}
}

func (p *process) wantStderr(want string) {
	p.t.Helper()
	if got := p.stderr.String(); !strings.Contains(got, want) {
		p.t.Fatalf("%v wrote %q, want %q in it", p.Args, got, want)
	}
}

// until waits for a condition, or the end of the process.
func (p *process) until(met func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); !met(); {
		select {
		case <-p.ended:
			return
		case <-time.After(time.Millisecond):
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%v: what was waited for did not come", p.Args)
		}
	}
}

// checkpoints returns the number of a run's checkpoints, and whether one is
// being written.
func checkpoints(run string) (last string, writing bool) {
	entries, _ := os.ReadDir(filepath.Join(run, "checkpoints"))
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".tmp") {
			writing = true
		} else {
			last = max(last, e.Name())
		}
	}
	return last, writing
}

func train(t *testing.T, args ...string) *process {
	return command(t, append(append([]string{"train"}, args...), small...)...)
}

// TestKilledRunResumes kills a run at random moments, also while a checkpoint is
// being written, and wants the outcome of the run that was never killed.
func TestKilledRunResumes(t *testing.T) {
	set := shardsIn(t)
	damage(t, filepath.Join(set, "train-000001.tar"))
	runs := t.TempDir()
	args := func(run string) []string {
		return []string{"--src", set, "--max-rejects", "10%", "--run", filepath.Join(runs, run), "--log-every", "1"}
	}
	train(t, append(args("whole"), "--steps", "16")...).start().wantCode(exitDone)

	intervals := []string{"1", "3"}
	if testing.Short() {
		intervals = intervals[:1]
	}
	for _, every := range intervals {
		name := "killed-" + every
		run := filepath.Join(runs, name)
		draw := rand.New(rand.NewPCG(1, 2))
		kills := 0
		for {
			p := train(t, append(args(name), "--steps", "16", "--checkpoint-every", every, "--resume")...).start()
			before, _ := checkpoints(run)
			whileWriting := draw.IntN(2) == 0
			p.until(func() bool {
				last, writing := checkpoints(run)
				return last != before && (writing || !whileWriting)
			})
			p.Process.Kill()
			if p.code() >= 0 {
				p.wantCode(exitDone)
				break
			}
			kills++
		}
		if kills == 0 {
			t.Errorf("every %s: the run was never killed", every)
		}
		if err := errors.Join(sameOutcome(filepath.Join(runs, "whole"), run), sameRejects(filepath.Join(runs, "whole"), run)); err != nil {
			t.Errorf("every %s, after %d kills: %v", every, kills, err)
		}
	}
}

// damage overwrites the first image of a shard.
func damage(t *testing.T, shard string) {
	t.Helper()
	f, err := os.OpenFile(shard, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte("no image"), 512)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestSignalsStopARun(t *testing.T) {
	set := shardsIn(t)
	runs := t.TempDir()
	whole := filepath.Join(runs, "whole")
	train(t, "--src", set, "--run", whole, "--steps", "32").start().wantCode(exitDone)

	run := filepath.Join(runs, "stopped")
	args := []string{"--src", set, "--run", run, "--steps", "32", "--checkpoint-every", "2", "--resume"}
	for _, c := range []struct {
		signal os.Signal
		code   int
	}{{os.Interrupt, exitInterrupted}, {syscall.SIGTERM, exitTerminated}} {
		p := train(t, args...)
		before, _ := checkpoints(run)
		p.start().until(func() bool { last, _ := checkpoints(run); return last != before })
		p.Process.Signal(c.signal)
		p.wantCode(c.code)
		p.wantStderr("clpipe: stopped by " + c.signal.String())
		lines := strings.Split(strings.TrimSpace(p.stderr.String()), "\n")
		if last := lines[len(lines)-1]; !strings.HasPrefix(last, `{"digests":`) {
			t.Errorf("%v: the last line is %q, want the digests", c.signal, last)
		}
		summary, err := sink.ReadSummary(run)
		if err != nil || summary == nil || summary.Finished {
			t.Fatalf("%v: the summary is %+v, %v: want one of a run that is not finished", c.signal, summary, err)
		}
		if last, _ := checkpoints(run); last != fmt.Sprintf("step-%08d", summary.Steps) {
			t.Errorf("%v: the last checkpoint is %s, the run is at step %d", c.signal, last, summary.Steps)
		}
	}
	train(t, args...).start().wantCode(exitDone)
	if err := sameOutcome(whole, run); err != nil {
		t.Error(err)
	}
}

// TestSignalWinsOverAClosedOutput interrupts a pipeline as a terminal does, all
// its processes at once: whoever would read the summary is gone.
func TestSignalWinsOverAClosedOutput(t *testing.T) {
	r, w := osPipe(t)
	r.Close()
	run := filepath.Join(t.TempDir(), "run")
	p := train(t, "--src", shardsIn(t), "--run", run, "--steps", "1000000", "--checkpoint-every", "1", "--json")
	p.Stdout = w
	p.start().until(func() bool { last, _ := checkpoints(run); return last != "" })
	w.Close()
	p.Process.Signal(os.Interrupt)
	p.wantCode(exitInterrupted)
	p.wantStderr("\n{\"digests\":")
}

func TestSignalsStopAStage(t *testing.T) {
	set := shardsIn(t)
	for _, c := range []struct {
		signal os.Signal
		code   int
	}{{os.Interrupt, exitInterrupted}, {syscall.SIGTERM, exitTerminated}} {
		out := filepath.Join(t.TempDir(), "images.arrows")
		p := command(t, "ingest", "--src", set, "--epochs", "0", "-o", out).start()
		p.until(func() bool { st, err := os.Stat(out + ".tmp"); return err == nil && st.Size() > 0 })
		p.Process.Signal(c.signal)
		p.wantCode(c.code)
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%s exists, though the stream never came to an end", filepath.Base(out))
		}
	}
}

// TestSignalEndsTheWaitForTheFirstImage stops a run before there is one: the
// producer of its archive does not go on.
func TestSignalEndsTheWaitForTheFirstImage(t *testing.T) {
	r, w := osPipe(t)
	if _, err := w.Write([]byte{0}); err != nil {
		t.Fatal(err)
	}
	p := command(t, "--src", "-", "--run", filepath.Join(t.TempDir(), "run"))
	p.Stdin = r
	p.start().until(func() bool {
		unread, err := unix.Poll([]unix.PollFd{{Fd: int32(r.Fd()), Events: unix.POLLIN}}, 0)
		return err == nil && unread == 0
	})
	p.Process.Signal(os.Interrupt)
	p.wantCode(exitInterrupted)
}

// TestSignalFreesABlockedWrite stops a stage whose reader does not read on.
func TestSignalFreesABlockedWrite(t *testing.T) {
	_, w := osPipe(t)
	p := command(t, "ingest", "--src", shardsIn(t), "--epochs", "0")
	p.Stdout = w
	p.start().until(func() bool {
		full, err := unix.Poll([]unix.PollFd{{Fd: int32(w.Fd()), Events: unix.POLLOUT}}, 0)
		return err == nil && full == 0
	})
	p.Process.Signal(syscall.SIGTERM)
	p.wantCode(exitTerminated)
}

// osPipe returns the ends of a pipe, which are closed with the test if not before.
func osPipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Close()
		w.Close()
	})
	return r, w
}

// pipeTogether starts the processes, each of which reads what the one before writes.
func pipeTogether(t *testing.T, chain ...*process) {
	t.Helper()
	var ends []*os.File
	for i := range chain[1:] {
		r, w := osPipe(t)
		chain[i].Stdout, chain[i+1].Stdin = w, r
		ends = append(ends, r, w)
	}
	for _, p := range chain {
		p.start()
	}
	for _, f := range ends {
		f.Close() // the processes hold their own
	}
}

func TestThreeProcessesAreOne(t *testing.T) {
	set := shardsIn(t)
	runs := t.TempDir()
	one := filepath.Join(runs, "one")
	train(t, "--src", set, "--run", one, "--steps", "12").start().wantCode(exitDone)
	for _, rows := range []string{"3", "8", "100"} {
		run := filepath.Join(runs, rows)
		chain := []*process{
			command(t, "ingest", "--src", set, "--epochs", "0", "--workers", "3"),
			command(t, "augment", "--size", "16", "--batch", rows, "--workers", "1"),
			train(t, "--run", run, "--steps", "12"),
		}
		pipeTogether(t, chain...)
		for i := range chain { // those before end because the last has enough
			chain[len(chain)-1-i].wantCode(exitDone)
		}
		for _, p := range chain[:2] {
			if p.stderr.Len() > 0 {
				t.Errorf("%v wrote %q, want nothing", p.Args, &p.stderr)
			}
		}
		if err := sameOutcome(one, run); err != nil {
			t.Error(err)
		}
	}
}

func TestReaderLeaves(t *testing.T) {
	set := shardsIn(t)
	for _, args := range [][]string{
		{"ingest", "--src", set, "--epochs", "0"},
		{"ingest", "--src", set, "--epochs", "0", "--encoded"},
		{"augment", "--src", set, "--epochs", "0", "--size", "16"},
	} {
		r, w := osPipe(t)
		p := command(t, args...)
		p.Stdout = w
		p.start()
		w.Close()
		if _, err := io.ReadFull(r, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		r.Close()
		p.wantCode(exitDone)
		if p.stderr.Len() > 0 {
			t.Errorf("%v wrote %q, want nothing", args, &p.stderr)
		}
	}
}

// TestKilledProcess kills each of three processes at a random moment: the others
// end with the code and the words that fit, and the same three go on to the
// outcome of the run that was never killed.
func TestKilledProcess(t *testing.T) {
	runs := t.TempDir()
	set := filepath.Join(runs, "set") // of images so large that few wait in a pipe
	if err := (synth.Set{Images: 40, Size: 64, Shards: 2, Seed: 1}).Write(t.Context(), set, 0, nil); err != nil {
		t.Fatal(err)
	}
	const steps = "140" // more than wait in pipes and buffers
	whole := filepath.Join(runs, "whole")
	train(t, "--src", set, "--run", whole, "--steps", steps).start().wantCode(exitDone)
	three := func(t *testing.T, run string) []*process {
		chain := []*process{
			command(t, "ingest", "--src", set, "--epochs", "0", "--batch-bytes", "64KiB"),
			command(t, "augment", "--size", "16", "--batch", "8"),
			train(t, "--run", run, "--steps", steps, "--checkpoint-every", "20", "--log-every", "1", "--resume"),
		}
		pipeTogether(t, chain...)
		return chain
	}
	for killed, name := range []string{"ingest", "augment", "train"} {
		t.Run(name, func(t *testing.T) {
			run := filepath.Join(runs, name)
			chain := three(t, run)
			lines := 1 + rand.IntN(12)
			chain[2].until(func() bool {
				text, _ := os.ReadFile(filepath.Join(run, "metrics.jsonl"))
				return bytes.Count(text, []byte("\n")) >= lines
			})
			chain[killed].Process.Kill()
			for i, p := range chain {
				switch {
				case i < killed: // its reader has left
					p.wantCode(exitDone)
				case i == killed:
					p.wantCode(-1)
				default: // its producer has died
					p.wantCode(exitFailed)
					p.wantStderr("standard input")
				}
			}
			if summary, err := sink.ReadSummary(run); err != nil || summary != nil {
				t.Errorf("a run that did not come to its end has the summary %+v, %v", summary, err)
			}
			if last, _ := checkpoints(run); last == "" && killed < 2 {
				t.Error("what was trained before the failure is not saved")
			}
			again := three(t, run)
			for i := range again {
				again[len(again)-1-i].wantCode(exitDone)
			}
			if err := sameOutcome(whole, run); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestStall(t *testing.T) {
	set := shardsIn(t)
	pairs := command(t, "augment", "--src", set, "--size", "16", "--batch", "8").start()
	pairs.wantCode(exitDone)
	for _, c := range []struct {
		name string
		p    *process
		sent []byte
		want string
	}{
		{"nothing comes", train(t, "--run", filepath.Join(t.TempDir(), "run"), "--stall-timeout", "200ms"), nil, "train is waiting to read"},
		{"nothing comes to augment", command(t, "augment", "--stall-timeout", "200ms"), nil, "augment is waiting to read"},
		{"nothing more comes", train(t, "--run", filepath.Join(t.TempDir(), "run"), "--stall-timeout", "1s"), pairs.stdout.Bytes()[:pairs.stdout.Len()*2/3], "train is waiting to read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.p.t = t
			in, err := c.p.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			c.p.start()
			if _, err := in.Write(c.sent); err != nil {
				t.Fatal(err)
			}
			c.p.wantCode(exitStalled)
			c.p.wantStderr(c.want)
			c.p.wantStderr("--stall-timeout")
			if c.sent != nil {
				if last, _ := checkpoints(c.p.Args[3]); last == "" {
					t.Error("what was trained before the stall is not saved")
				}
			}
		})
	}
}

// silentReader is a stream that begins when it is told to, and is empty.
type silentReader struct{ speak <-chan struct{} }

func (r silentReader) Schema(ctx context.Context) (*arrow.Schema, error) {
	select {
	case <-r.speak:
		return nil, io.EOF
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (silentReader) Read(context.Context) (arrow.Record, error) { return nil, io.EOF }

// TestWaitForAnotherProcessIsReported wants no more than a warning where the
// flag was not given, of a stream and of an archive on standard input.
func TestWaitForAnotherProcessIsReported(t *testing.T) {
	for _, stdin := range []bool{false, true} {
		speak := make(chan struct{})
		var once sync.Once
		log := slog.New(slog.NewTextHandler(writerFunc(func(text []byte) (int, error) {
			if !strings.Contains(string(text), "nothing has come from the other process") {
				t.Errorf("got the message %q", text)
			}
			once.Do(func() { close(speak) })
			return len(text), nil
		}), nil))
		p := &pipeline{stdin: stdin, stall: 20 * time.Millisecond, reportOnly: true, log: log}
		if !stdin {
			p.in = silentReader{speak}
		}
		p.add("first", func(ctx context.Context, in batch.Reader, _ batch.Writer) error {
			if stdin {
				in = silentReader{speak} // which the stage reads within its work
			}
			_, err := in.Schema(ctx)
			return err
		})
		if err := p.run(t.Context()); !errors.Is(err, io.EOF) {
			t.Errorf("standard input an archive %v: got %v, want the stream's end", stdin, err)
		}
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// slowWriter is a process behind the last stage that takes its time.
type slowWriter struct{ free <-chan time.Time }

func (slowWriter) Open(context.Context, *arrow.Schema) error { return nil }

func (w slowWriter) Write(_ context.Context, rec arrow.Record) error {
	<-w.free
	rec.Release()
	return nil
}

// TestServedStreamStalls has a source that gives nothing and a consumer that
// would take it.
func TestServedStreamStalls(t *testing.T) {
	j := &serveJob{common: commonFlags{stallTimeout: 20 * time.Millisecond}, log: slog.New(slog.DiscardHandler)}
	silent := func(ctx context.Context, _ batch.Reader, _ batch.Writer) error {
		<-ctx.Done()
		return ctx.Err()
	}
	var stalled *stallError
	if err := j.watched(t.Context(), slowWriter{}, []batch.Stage{silent}); !errors.As(err, &stalled) || !strings.Contains(err.Error(), "ingest") {
		t.Errorf("got %v, want a stall of ingest", err)
	}
}

func TestWaitToWriteIsNoStall(t *testing.T) {
	const stall = 20 * time.Millisecond
	p := &pipeline{out: slowWriter{time.After(10 * stall)}, stall: stall, log: slog.New(slog.DiscardHandler)}
	schema := batch.PairsSchema(nil, 1, 1, 1, 3)
	p.add("augment", func(ctx context.Context, _ batch.Reader, out batch.Writer) error {
		if err := out.Open(ctx, schema); err != nil {
			return err
		}
		return out.Write(ctx, batch.NewPairsBuilder(memory.DefaultAllocator, schema, 1).NewRecord(nil))
	})
	if err := p.run(t.Context()); err != nil {
		t.Errorf("got %v, want no error", err)
	}
}

// TestBinaryStaysOffTheTerminal uses the master of a terminal, one as well.
func TestBinaryStaysOffTheTerminal(t *testing.T) {
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	defer terminal.Close()
	set := shardsIn(t)
	for _, args := range [][]string{{"ingest", "--src", set}, {"augment", "--src", set}, {"view", "--src", set, "-o", "-"}, {"head", "-o", "-"}} {
		p := command(t, args...)
		p.Stdout = terminal
		p.start().wantCode(exitUsage)
		p.wantStderr("standard output is a terminal")
	}
	for _, args := range [][]string{{"augment"}, {"train"}} {
		p := command(t, args...)
		p.Stdin = terminal
		p.start().wantCode(exitUsage)
		p.wantStderr("standard input is a terminal")
	}
	p := command(t, "ingest", "--src", set)
	p.Stdout = nil // the null device is none
	p.start().wantCode(exitDone)
}

func TestTwoProcessesShareNoRun(t *testing.T) {
	set := shardsIn(t)
	run := filepath.Join(t.TempDir(), "run")
	first := train(t, "--src", set, "--run", run, "--steps", "1000000", "--checkpoint-every", "1").start()
	first.until(func() bool { last, _ := checkpoints(run); return last != "" })
	second := train(t, "--src", set, "--run", run, "--steps", "1000000", "--resume").start()
	second.wantCode(exitFailed)
	second.wantStderr(fmt.Sprint(first.Process.Pid))
}
