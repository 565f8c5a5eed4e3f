package remote

import (
	"context"
	"sync"
)

// calmAnswers is how many requests in a row have to be answered before twice
// as many are made at a time again.
const calmAnswers = 32

// gate says how many files of a server may be read at a time: all that are
// wanted, until the server asks to slow down; then half as many. A file over
// the limit is read in blocks, a short request each, so that whoever takes
// samples from several files in turn never waits for a file that only itself
// could read on. The order of the samples does not change.
type gate struct {
	mu    sync.Mutex
	limit int           // 0: none
	first int           // requests under way when a limit was first set
	kept  int           // bodies held open as long as their file is read
	brief int           // short requests under way
	calm  int           // requests answered since the limit changed
	freed chan struct{} // closed when a short request ends; nil if nobody waits
}

// keep tells whether another body may be held open, and counts it; one that
// must is always counted. leave takes it back.
func (g *gate) keep(must bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !must && g.limit > 0 && g.kept >= g.limit {
		return false
	}
	g.kept++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.kept--
	g.wake()
}

// crowded tells whether more bodies are held open than may be.
func (g *gate) crowded() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.limit > 0 && g.kept > g.limit
}

// enter waits until a short request may be made; leave ends it.
func (g *gate) enter(ctx context.Context) (leave func(), err error) {
	for {
		g.mu.Lock()
		if g.limit == 0 || g.brief < max(g.limit-g.kept, 1) {
			g.brief++
			g.mu.Unlock()
			return g.endBrief, nil
		}
		if g.freed == nil {
			g.freed = make(chan struct{})
		}
		freed := g.freed
		g.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (g *gate) endBrief() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.brief--
	g.wake()
}

// wake lets those look again who wait. mu is held.
func (g *gate) wake() {
	if g.freed != nil {
		close(g.freed)
		g.freed = nil
	}
}

// slow halves the limit.
func (g *gate) slow() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.limit == 0 {
		g.first = g.kept + g.brief + 1 // the refused one has ended
		g.limit = g.first
	}
	g.limit = max(g.limit/2, 1)
	g.calm = 0
}

// answered counts a request that was answered.
func (g *gate) answered() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.limit == 0 {
		return
	}
	if g.calm++; g.calm < calmAnswers {
		return
	}
	g.calm = 0
	if g.limit *= 2; g.limit >= g.first {
		g.limit = 0
	}
	g.wake()
}
