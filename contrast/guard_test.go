package contrast

import (
	"math"
	"slices"
	"strings"
	"testing"
)

// healthyMetrics is an entry of a run that learns, at a step.
func healthyMetrics(step int, cfg Config) Metrics {
	return Metrics{
		Step: step, Loss: 3, Acc1: 0.6, EmbeddingStd: 0.9 / math.Sqrt(float64(cfg.Dim)), QueueFilled: cfg.Queue, maskedRows: 1,
	}
}

func TestHealthyTrainingIsNotWarnedOf(t *testing.T) {
	cfg := Config{Dim: 128, Queue: 4096}
	early := healthyMetrics(100, cfg)
	early.Acc1, early.EmbeddingStd = 1, 0
	short := healthyMetrics(200, cfg)
	short.Acc1, short.QueueFilled = 1, 1000
	for _, m := range []Metrics{healthyMetrics(200, cfg), early, short} {
		var g collapseGuard
		for range 10 {
			if said := g.look(m, cfg); len(said) > 0 {
				t.Errorf("%+v: %q", m, said)
			}
		}
	}
}

func TestEverySignIsToldOnce(t *testing.T) {
	cfg := Config{Dim: 100, Queue: 4096}
	for _, c := range []struct {
		name  string
		spoil func(*Metrics)
		want  string
		after int // entries in a row
	}{
		{"collapse", func(m *Metrics) { m.EmbeddingStd = 0.0099 }, "the embeddings collapse: all images get nearly the same one (spread 0.0099, healthy is about 0.1000)", 3},
		{"too easy", func(m *Metrics) { m.Acc1 = 0.999 }, "the contrast is too easy: 99.9 % of the positives win against 4096 negatives", 3},
		{"masked", func(m *Metrics) { m.maskedRows = 1.6 }, "the queue holds 1.6 keys of a query's own sample, which are masked: the data set is small for --queue 4096", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var g collapseGuard
			var at []int
			look := func(step int, bad bool) {
				m := healthyMetrics(step, cfg)
				if bad {
					c.spoil(&m)
				}
				for _, text := range g.look(m, cfg) {
					if at = append(at, step); !strings.HasPrefix(text, c.want) {
						t.Errorf("step %d: %q, want %q", step, text, c.want)
					}
				}
			}
			step := 200
			for range c.after - 1 { // not long enough to be told
				look(step, true)
				step++
			}
			look(step, false)
			first := step + c.after
			for range 2 { // told the first time only
				for range 5 {
					step++
					look(step, true)
				}
				step++
				look(step, false)
			}
			if !slices.Equal(at, []int{first}) {
				t.Errorf("told at steps %v, want %d", at, first)
			}
		})
	}
}
