package par

import (
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEveryTaskRunsOnceAndScratchIsPrivate(t *testing.T) {
	for _, workers := range []int{1, 2, 5} {
		p := NewPool(workers)
		for _, tasks := range []int{0, 1, 2, 3, 100} {
			ran := make([]int32, tasks)
			busy := make([]int32, p.Workers())
			p.Run(Phase{tasks, func(worker, task int) {
				if !atomic.CompareAndSwapInt32(&busy[worker], 0, 1) {
					t.Errorf("worker %d was used twice at once", worker)
				}
				atomic.AddInt32(&ran[task], 1)
				atomic.StoreInt32(&busy[worker], 0)
			}})
			for i, n := range ran {
				if n != 1 {
					t.Errorf("workers=%d tasks=%d: task %d ran %d times", workers, tasks, i, n)
				}
			}
		}
		p.Close()
	}
}

func TestRunAllocatesNothing(t *testing.T) {
	p := NewPool(2)
	defer p.Close()
	var sum atomic.Int64
	ph := Phase{64, func(_, task int) { sum.Add(int64(task)) }}
	if n := testing.AllocsPerRun(100, func() { p.Run(ph) }); n != 0 {
		t.Errorf("Run allocates %v times, want 0", n)
	}
}

func BenchmarkRun(b *testing.B) {
	p := NewPool(2)
	defer p.Close()
	ph := Phase{2, func(_, _ int) {}}
	b.ReportAllocs()
	for b.Loop() {
		p.Run(ph)
	}
}
