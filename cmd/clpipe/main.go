// Command clpipe is contrastive self-supervised learning in one program: it
// reads image shards, makes positive pairs, and trains an encoder on them.
//
//	clpipe --src s3shards/
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"clpipe/batch"
	"clpipe/contrast"
	"clpipe/ingest"
	"clpipe/sink"
)

// Exit codes, as documented in the README.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitData        = 3
	exitStalled     = 5
	exitInterrupted = 130
	exitTerminated  = 143
)

func main() {
	// A reader that leaves ends a stage quietly: writes to it then fail with
	// EPIPE, where Go would otherwise let the signal end the process.
	signal.Ignore(syscall.SIGPIPE)
	os.Exit(run(context.Background(), os.Args[1:], stdio{os.Stdin, os.Stdout, &screen{file: os.Stderr}}))
}

// stdio is where a command reads and writes: data on out, all else on err.
type stdio struct {
	in  io.Reader
	out io.Writer
	err io.Writer
}

// usageError is a command line that cannot be carried out.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// run carries out a command line and returns the exit code.
func run(ctx context.Context, args []string, std stdio) int {
	ctx, signals := watchSignals(ctx)
	defer signals.release()
	cmd := rootCommand(std, signals)
	cmd.SetArgs(args)
	cmd.SetIn(std.in)
	cmd.SetOut(std.out)
	cmd.SetErr(std.err)
	return exitCode(cmd.ExecuteContext(ctx), signals, std.err)
}

// exitCode reports an error, with what to do about it, and returns its code.
func exitCode(err error, signals *signals, stderr io.Writer) int {
	var (
		usage     usageError
		badSource *ingest.UsageError
		badRun    *sink.UsageError
		tooShort  *contrast.EpochError
		stalled   *stallError
	)
	switch {
	case signals.received() != 0 && (errors.Is(err, contrast.ErrStopped) || errors.Is(err, context.Canceled)):
		signals.tell(stderr)
		if signals.received() == syscall.SIGTERM {
			return exitTerminated
		}
		return exitInterrupted
	case err == nil, errors.Is(err, batch.ErrClosed), isOutputClosed(err):
		return exitDone
	case errors.As(err, &stalled):
		fmt.Fprintf(stderr, "clpipe: %v\n", err)
		return exitStalled
	case errors.As(err, &usage), errors.As(err, &badSource), errors.As(err, &badRun), errors.As(err, &tooShort):
		fmt.Fprintf(stderr, "clpipe: %v\n", err)
		return exitUsage
	case errors.Is(err, batch.ErrTooManyRejects):
		fmt.Fprintf(stderr, "clpipe: %v\nraise --max-rejects to go on past damaged samples; `clpipe shards verify` lists them all\n", err)
		return exitData
	case errors.Is(err, errAltered):
		fmt.Fprintf(stderr, "clpipe: %v\n", err)
		return exitData
	}
	fmt.Fprintf(stderr, "clpipe: %v\n", err)
	if strings.Contains(err.Error(), "no space left on device") {
		fmt.Fprintln(stderr, "free some space and start again; a training run goes on with --resume: what it has written is intact")
	}
	return exitFailed
}

// isOutputClosed reports whether nobody reads standard output any more.
func isOutputClosed(err error) bool {
	var write *fs.PathError
	return errors.As(err, &write) && write.Path == os.Stdout.Name() && errors.Is(err, syscall.EPIPE)
}

// signals turns the first interrupt into a soft stop and the second into
// cancellation.
type signals struct {
	stop  chan struct{} // closed by the first signal
	first chan os.Signal
	quit  chan struct{}
	done  chan struct{}
	got   syscall.Signal
	told  bool // tell has spoken
}

func watchSignals(ctx context.Context) (context.Context, *signals) {
	ctx, cancel := context.WithCancel(ctx)
	s := &signals{stop: make(chan struct{}), first: make(chan os.Signal, 2), quit: make(chan struct{}), done: make(chan struct{})}
	signal.Notify(s.first, os.Interrupt, syscall.SIGTERM)
	go func() {
		defer close(s.done)
		defer cancel()
		for {
			select {
			case sig := <-s.first:
				select {
				case <-s.stop:
					signal.Stop(s.first) // a third ends the process at once
					return               // the second: cancel
				default:
					s.got, _ = sig.(syscall.Signal)
					close(s.stop)
				}
			case <-s.quit:
				return
			}
		}
	}()
	return ctx, s
}

// received returns the first signal, 0 if there was none.
func (s *signals) received() syscall.Signal {
	select {
	case <-s.stop:
		return s.got
	default:
		return 0
	}
}

// tell says, once, which signal ended the command.
func (s *signals) tell(stderr io.Writer) {
	if !s.told {
		s.told = true
		fmt.Fprintf(stderr, "clpipe: stopped by %v\n", s.received())
	}
}

func (s *signals) release() {
	signal.Stop(s.first)
	close(s.quit)
	<-s.done
}

// stoppable returns a context that the first signal cancels: for commands that
// have nothing to finish first.
func (s *signals) stoppable(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-s.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(); <-done }
}
