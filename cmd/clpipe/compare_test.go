package main

import (
	"math"
	"testing"
)

// TestComparedRowsAreMeansOverSeeds tabulates a method of two seeds.
func TestComparedRowsAreMeansOverSeeds(t *testing.T) {
	result := func(top1, balanced float64) []probeResult {
		return []probeResult{{Probe: "linear", Labels: 1, Top1: top1, Balanced: balanced}}
	}
	table := tabulate([]cell{
		{Method: "moco", Seed: 1, Results: result(0.5, 0.4)},
		{Method: "dim", Seed: 1, Results: result(0.9, 0.8)},
		{Method: "moco", Seed: 2, Results: result(0.7, 0.5)},
	})
	row := table.find("moco", "linear", 1)
	if row == nil || math.Abs(row.Top1-0.6) > 1e-12 || math.Abs(row.Balanced-0.45) > 1e-12 || row.Seeds != 2 {
		t.Errorf("got %+v, want top-1 0.6 and balanced 0.45 of 2 seeds", row)
	}
}
