package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"clpipe/sink"

	"github.com/spf13/pflag"
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

// TestUntrainedNetworksKeepTheirNames leaves methods out of one seed, as one that
// diverged: a row of the table is of one network over all seeds.
func TestUntrainedNetworksKeepTheirNames(t *testing.T) {
	c := &comparison{dir: t.TempDir()}
	c.methods = []string{"simclr", "moco-cifar", "infonce"} // of which the last two normalise alike
	c.fs = pflag.NewFlagSet("compare", pflag.ContinueOnError)
	for seed := range uint64(3) {
		for _, m := range c.methods {
			at := c.run(cell{Method: m, Seed: seed})
			if err := os.MkdirAll(at, 0o755); err != nil {
				t.Fatal(err)
			}
			text := "method: " + m + "\nencoder: resnet18-cifar\nsize: 32\n"
			if err := os.WriteFile(filepath.Join(at, sink.ConfigFile), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	trained := []cell{
		{Method: "simclr", Seed: 0}, {Method: "moco-cifar", Seed: 0}, {Method: "infonce", Seed: 0},
		{Method: "moco-cifar", Seed: 1}, {Method: "infonce", Seed: 1},
		{Method: "simclr", Seed: 2}, {Method: "infonce", Seed: 2},
	}
	want := map[string]string{ // of the other cells there is none
		"simclr 0": "resnet18-cifar", "moco-cifar 0": "resnet18-cifar (moco-cifar)",
		"moco-cifar 1": "resnet18-cifar (moco-cifar)",
		"simclr 2":     "resnet18-cifar", "infonce 2": "resnet18-cifar (moco-cifar)",
	}
	for seed := range uint64(3) {
		for _, m := range c.methods {
			got, err := c.network(cell{Method: randomBaseline, Seed: seed, of: m}, trained)
			if which := fmt.Sprint(m, " ", seed); err != nil || got != want[which] {
				t.Errorf("%s: got %q, %v, want %q", which, got, err, want[which])
			}
		}
	}
}
