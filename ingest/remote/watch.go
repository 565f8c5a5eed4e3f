package remote

import (
	"context"
	"fmt"
	"io"
	"time"
)

// watch ends a request that has gone without a byte for the stall limit.
type watch struct {
	ctx    context.Context // of the request
	cancel context.CancelCauseFunc
	limit  time.Duration
	timer  *time.Timer
}

func (l *Link) watch(ctx context.Context) *watch {
	w := &watch{limit: l.Stall}
	if w.limit == 0 {
		w.limit = defaultStall
	}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	w.timer = time.AfterFunc(w.limit, func() { w.cancel(&Failure{Why: fmt.Errorf("no byte came for %v", w.limit)}) })
	w.timer.Stop()
	return w
}

// arm starts the time anew, disarm stops it: it runs only while a byte is
// waited for, not while nobody asks for one.
func (w *watch) arm()    { w.timer.Reset(w.limit) }
func (w *watch) disarm() { w.timer.Stop() }

// explain returns the stall as the cause of the error it led to.
func (w *watch) explain(err error) error {
	if err == nil {
		return nil
	}
	if stalled, ok := context.Cause(w.ctx).(*Failure); ok {
		return stalled
	}
	return err
}

func (w *watch) close() {
	w.timer.Stop()
	w.cancel(nil)
}

// watched is the body of an answer under watch.
type watched struct {
	body io.ReadCloser
	*watch
}

func (b *watched) Read(p []byte) (int, error) {
	b.arm()
	n, err := b.body.Read(p)
	b.disarm()
	if err == io.EOF {
		return n, err
	}
	return n, b.explain(err)
}

func (b *watched) Close() error {
	b.watch.close()
	return b.body.Close()
}
