package remote

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// Limits of a Link where it does not say otherwise.
const (
	defaultStall    = 30 * time.Second
	defaultAttempts = 10
)

// The wait before the first repetition, doubled for each further one up to
// longestWait: ten attempts take up to 45 s. A server that asks for more than
// longestRetryAfter is told by an error: with the request that follows, the wait must
// end within the two minutes after which --stall-timeout gives up.
const (
	shortestWait      = 100 * time.Millisecond
	longestWait       = 20 * time.Second
	longestRetryAfter = 80 * time.Second
)

// MaxIdle is how many connections to a server wait for the next request: as many
// as there are requests at once where an indexed set is read by ranges, since each
// connection anew costs some round trips.
const MaxIdle = 32

// A Link is how the server of a source is asked: what all its files share. The
// zero value has the defaults. It is safe for concurrent use, and not to be
// copied once used.
type Link struct {
	// Stall is how long a request may go without a byte; default 30 s.
	Stall time.Duration
	// Attempts is how many requests in a row may fail; default 10.
	Attempts int
	// Wait pauses; default on the machine's clock.
	Wait func(ctx context.Context, d time.Duration) error
	// Log receives a line a repeated request, for the first in a row at debug
	// level; nil drops them.
	Log *slog.Logger
	// Moved is told, by whoever reads, of bytes that have come; nil drops it.
	Moved func()

	gate gate
}

// Do makes a request, repeating it as long as that promises anything. op and
// where name it in the error, a *Error. ctx ends each attempt after the stall
// limit.
func (l *Link) Do(ctx context.Context, op, where string, request func(ctx context.Context) error) error {
	failures := 0
	for {
		leave, err := l.gate.enter(ctx)
		if err != nil {
			return err
		}
		w := l.watch(ctx)
		w.arm()
		err = w.explain(request(w.ctx))
		w.close()
		leave()
		if err == nil {
			l.gate.answered()
			return nil
		}
		if err := l.again(ctx, op, where, 0, &failures, err); err != nil {
			return err
		}
	}
}

// again waits until a failed request may be repeated from offset on. The error
// is that to give up with.
func (l *Link) again(ctx context.Context, op, where string, offset int64, failures *int, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	f := failureOf(err)
	*failures++
	if f.Kind == SlowDown {
		l.gate.slow()
	}
	attempts := l.Attempts
	if attempts == 0 {
		attempts = defaultAttempts
	}
	if f.Kind == Final || *failures >= attempts {
		return &Error{op, where, offset, *failures, f.Why}
	}
	if f.RetryAfter > longestRetryAfter {
		why := fmt.Errorf("%w; the server asks to come back in %v, want at most %v", f.Why, f.RetryAfter, longestRetryAfter)
		return &Error{op, where, offset, *failures, why}
	}
	pause := max(backoff(*failures), f.RetryAfter)
	if l.Log != nil {
		level := slog.LevelInfo
		if *failures == 1 {
			level = slog.LevelDebug // servers cut connections nobody has read from for a while
		}
		l.Log.Log(ctx, level, fmt.Sprintf("ingest: %v; again in %v (%d of %d)",
			&Error{op, where, offset, 1, f.Why}, pause.Round(time.Millisecond), *failures+1, attempts))
	}
	if l.Wait != nil {
		return l.Wait(ctx, pause)
	}
	return wait(ctx, pause)
}

// backoff is the wait after a number of failures in a row: between half of the
// longest it may be and all of it.
func backoff(failures int) time.Duration {
	most := longestWait
	if shift := failures - 1; shift < 8 {
		most = min(shortestWait<<shift, longestWait)
	}
	return most/2 + rand.N(most/2)
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// RetryAfter reads the header of that name: seconds, or a date. It is 0 for
// anything else and for a time that has passed.
func RetryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(header, 10, 32); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}
