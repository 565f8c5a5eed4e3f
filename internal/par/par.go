// Package par runs numbered tasks on a fixed set of workers. It starts no
// goroutine per operation and allocates nothing while running, so a training
// step can pass through it some hundred times.
//
// Which worker runs which task is free; results must not depend on it. Sums
// that span tasks are therefore kept per task and added in task order by a
// later phase, never per worker.
package par

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// spin is how long a worker looks for what it waits for before it parks. It
// outlasts most tasks that others still run at the end of a phase: a processor
// that has gone to sleep, above all a virtual one, takes a good part of a short
// phase to wake. It bounds what is taken from whatever else runs on the same
// cores, other programs above all: with a busy one beside, a step takes a tenth
// longer at 1 ms, and several times as long without giving way in between.
const spin = 200 * time.Microsecond

// A Phase is work that falls into Tasks independent parts. Run is called once
// for every task in [0,Tasks), from several goroutines at a time; worker, in
// [0,Pool.Workers()), is never used by two calls at once and selects scratch
// memory. One phase ends before the next begins.
type Phase struct {
	Tasks int
	Run   func(worker, task int)
}

// A Pool is a set of workers. The goroutine that calls Run is worker 0, the
// others wait for it; a Pool is used by one goroutine at a time.
type Pool struct {
	workers int
	spins   bool // waiting workers look before they park
	next    atomic.Int64
	phase   Phase
	start   []chan struct{} // one per helper: a token starts it on phase, closing ends it
	running atomic.Int64    // helpers on the current phase
	done    chan struct{}   // a token when the last of them ends
	helpers sync.WaitGroup  // helpers alive
}

// Count returns the number of workers that a setting asks for: 0 means one for
// every processor Go may use.
func Count(workers int) int {
	if workers <= 0 {
		return runtime.GOMAXPROCS(0)
	}
	return workers
}

// NewPool starts a pool of Count(workers) workers. Close ends it.
func NewPool(workers int) *Pool {
	workers = Count(workers)
	// With more workers than processors one that spins would keep from work the
	// very one it waits for.
	p := &Pool{workers: workers, spins: workers <= runtime.GOMAXPROCS(0), start: make([]chan struct{}, workers-1), done: make(chan struct{}, 1)}
	for i := range p.start {
		p.start[i] = make(chan struct{}, 1)
		p.helpers.Go(func() {
			for p.await(p.start[i]) {
				p.work(i + 1)
				if p.running.Add(-1) == 0 {
					p.done <- struct{}{}
				}
			}
		})
	}
	return p
}

// Workers returns the number of workers, the calling one included.
func (p *Pool) Workers() int { return p.workers }

// Run runs the phase and returns when all its tasks are done.
func (p *Pool) Run(ph Phase) {
	helpers := min(p.workers, ph.Tasks) - 1
	if helpers <= 0 {
		for task := range ph.Tasks {
			ph.Run(0, task)
		}
		return
	}
	p.phase = ph
	p.next.Store(0)
	p.running.Store(int64(helpers))
	for _, c := range p.start[:helpers] {
		c <- struct{}{}
	}
	p.work(0)
	p.await(p.done)
	p.phase = Phase{}
}

// await receives a token and tells whether there was one, or the channel is
// closed.
func (p *Pool) await(c <-chan struct{}) bool {
	if p.spins {
		const looks = 64 // between two looks at the clock
		for start := time.Now(); time.Since(start) < spin; {
			for range looks {
				select {
				case _, ok := <-c:
					return ok
				default:
				}
			}
			// Another goroutine, or a worker whose thread waits for a processor,
			// may be what this one waits for.
			runtime.Gosched()
		}
	}
	_, ok := <-c
	return ok
}

// work takes tasks off the shared counter until none is left.
func (p *Pool) work(worker int) {
	for {
		task := int(p.next.Add(1)) - 1
		if task >= p.phase.Tasks {
			return
		}
		p.phase.Run(worker, task)
	}
}

// Close ends the workers. The pool must be idle.
func (p *Pool) Close() {
	for _, c := range p.start {
		close(c)
	}
	p.helpers.Wait()
}
