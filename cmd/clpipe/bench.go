package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"

	"clpipe/internal/kernel"
	"clpipe/internal/par"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// minRun is how long a run lasts at least: what is shorter is repeated within
// the run, or scheduling and the clock would be measured.
const minRun = 50 * time.Millisecond

// gflops is a unit: 10⁹ floating-point operations a second, counted by the
// definition. Winograd's algorithm does fewer, so its kernels may pass the peak.
const gflops = "GFLOP/s"

// benchFlags are the options of all benches: those of the main job that apply,
// and how to measure.
type benchFlags struct {
	common  commonFlags
	source  sourceFlags
	views   viewFlags
	method  methodFlags
	runs    int
	profile bool

	cells       int // bench loss: of a local map
	acknowledge int // bench stream's reader: records between two answers
}

// A benchKind is one of the benches.
type benchKind struct {
	name, short, example string
	unit                 string
	flags                func(*benchFlags, *pflag.FlagSet)
	run                  func(*bench, context.Context) ([]timing, error)
}

var benchKinds = []benchKind{
	{
		name: "train", unit: "pairs/s", short: "Whole training steps, and where their time goes",
		example: "  clpipe bench train --encoder resnet18-cifar --batch 128 --queue 4096 --workers 2 --profile",
		flags: func(f *benchFlags, fs *pflag.FlagSet) {
			f.addImages(fs)
			f.views.add(fs)
			f.addMethod(fs)
			fs.BoolVar(&f.profile, "profile", false, "list every operation of the network, not only the parts of a step (with --json always)")
		},
		run: (*bench).train,
	},
	{
		name: "pipe", unit: "pairs/s", short: "Decoding, augmentation and training together, beside each alone",
		example: "  clpipe bench pipe --src s3shards/ --batch 128",
		flags:   func(f *benchFlags, fs *pflag.FlagSet) { f.addImages(fs); f.views.add(fs); f.addMethod(fs) },
		run:     (*bench).pipe,
	},
	{
		name: "stream", unit: "pairs/s", short: "Records of pairs through one pipe to another process",
		example: "  clpipe bench stream --size 32 --batch 256",
		flags: func(f *benchFlags, fs *pflag.FlagSet) {
			fs.IntVar(&f.views.size, "size", 0, "side of a view in pixels (default 32, and 224)")
			fs.IntVar(&f.method.batch, "batch", 0, "pairs in a record (default 256, and 64)")
			fs.IntVar(&f.acknowledge, "acknowledge", 0, "be the reader: answer after as many records")
			fs.Lookup("acknowledge").Hidden = true
		},
		run: (*bench).stream,
	},
	{
		name: "decode", unit: "images/s", short: "Decoding of image files that lie in memory",
		example: "  clpipe bench decode --src s3shards/",
		flags:   (*benchFlags).addImages,
		run:     (*bench).decode,
	},
	{
		name: "augment", unit: "pairs/s", short: "Making pairs, from decoded images and from files",
		example: "  clpipe bench augment --src s3shards/ --policy moco-v2 --size 224",
		flags: func(f *benchFlags, fs *pflag.FlagSet) {
			f.addImages(fs)
			f.views.add(fs)
			fs.IntVar(&f.method.batch, "batch", 256, "pairs in a record")
		},
		run: (*bench).augment,
	},
	{
		name: "gemm", unit: gflops, short: "Matrix products of the shapes that occur in training",
		example: "  clpipe bench gemm --batch 256 --queue 65536 --json",
		flags:   func(f *benchFlags, fs *pflag.FlagSet) { f.views.add(fs); f.addMethod(fs) },
		run:     (*bench).gemm,
	},
	{
		name: "conv", unit: gflops, short: "The convolutions of a network, layer by layer",
		example: "  clpipe bench conv --encoder resnet50 --size 224 --batch 16",
		flags:   func(f *benchFlags, fs *pflag.FlagSet) { f.views.add(fs); f.addMethod(fs) },
		run:     (*bench).conv,
	},
	{
		name: "loss", unit: "queries/s", short: "InfoNCE over a long queue, within a batch and over local maps, with gradients",
		example: "  clpipe bench loss --batch 256 --dim 128 --queue 65536",
		flags: func(f *benchFlags, fs *pflag.FlagSet) {
			fs.IntVar(&f.method.batch, "batch", 256, "queries")
			fs.IntVar(&f.method.dim, "dim", 128, "size of the embedding")
			fs.IntVar(&f.method.queue, "queue", 65536, "keys in the queue of negatives")
			fs.Float64Var(&f.method.temperature, "temperature", 0.2, "tau, by which logits are divided")
			fs.IntVar(&f.cells, "cells", 64, "cells of the local maps of dim and amdim")
			fs.BoolVar(&f.method.maskSameID, "mask-same-id", true, "a sample's own old keys are no negatives for it")
		},
		run: (*bench).loss,
	},
}

func (f *benchFlags) addImages(fs *pflag.FlagSet) { f.source.add(fs, false) }

// ofRun are options of a run, which a bench is none: it starts from weights of its
// own and steps as long as it takes to measure.
var ofRun = []string{"init", "epochs", "steps", "schedule", "log-every"}

// addMethod adds the method's options but those.
func (f *benchFlags) addMethod(fs *pflag.FlagSet) {
	f.method.add(fs)
	for _, name := range ofRun {
		fs.Lookup(name).Hidden = true
	}
}

// benchCommand measures this program's own speed.
func benchCommand(std stdio, sig *signals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench train|pipe|stream|decode|augment|gemm|conv|loss|bounds",
		Short: "Measure this program's own speed",
		Long: `Measures this program on this machine: throughput, the median over several runs
after a warm-up, with the runs beside it. Input is synthetic unless --src names
some. Shares of the peak are of a loop of multiply-adds in registers on as many
workers, shares of the memory of a triad a = b + 3c over 192 MiB, both measured
first. Operations are counted by the definition, so that Winograd's convolutions,
which do fewer, may pass the peak; bytes are those of each operand, once, which
may pass the memory's where operands lie in a cache.`,
		Example: `  clpipe bench train --encoder resnet18-cifar --batch 128 --queue 4096 --workers 2
  clpipe bench loss --json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("there is no bench %q: want train, pipe, stream, decode, augment, gemm, conv, loss or bounds", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	for _, kind := range benchKinds {
		cmd.AddCommand(benchKindCommand(std, sig, kind))
	}
	cmd.AddCommand(boundsBenchCommand(std, sig))
	return cmd
}

func benchKindCommand(std stdio, sig *signals, kind benchKind) *cobra.Command {
	var flags benchFlags
	cmd := &cobra.Command{
		Use: kind.name, Short: kind.short, Example: kind.example, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, name := range ofRun {
				if typed(cmd.Flags(), name) {
					return usagef("--%s is no option of %s, which is no run", name, cmd.CommandPath())
				}
			}
			if flags.runs < 1 {
				return usagef("--runs is %d, want at least 1", flags.runs)
			}
			if flags.common.workers < 0 {
				return usagef("--workers is %d, want at least 0", flags.common.workers)
			}
			ctx, cancel := sig.stoppable(cmd.Context())
			defer cancel()
			b := &bench{benchFlags: flags, kind: kind, fs: cmd.Flags(), std: std, kernel: kernel.Selected()}
			b.pool = par.NewPool(flags.common.workers)
			defer b.pool.Close()
			timings, err := kind.run(b, ctx)
			if err != nil || timings == nil {
				return err
			}
			return b.report(timings)
		},
	}
	flags.common.addOutput(cmd.Flags())
	flags.common.addWorkers(cmd.Flags())
	flags.common.addSeed(cmd.Flags())
	kind.flags(&flags, cmd.Flags())
	cmd.Flags().IntVar(&flags.runs, "runs", 7, "measured runs, of which the median counts")
	return cmd
}

// bench is a bench under way.
type bench struct {
	benchFlags
	kind   benchKind
	fs     *pflag.FlagSet
	std    stdio
	pool   *par.Pool
	kernel string    // the implementation that is measured
	peak   float64   // GFLOP/s of the multiply-add units of all workers; 0: not measured
	memory float64   // GB/s of all workers between memory and processor; 0: not measured
	setup  string    // what is measured, in words
	held   memoryUse // by a training step
}

// memoryUse is what a training step holds.
type memoryUse struct{ arenas, packed int64 }

// A timing is how long a piece of work took in each run.
type timing struct {
	name      string
	work      float64   // in the bench's unit times seconds
	unitBytes int       // of a pair that is passed on; 0: not counted
	flops     float64   // floating-point operations; 0: not counted
	bytes     float64   // that have to go between memory and processor, each operand once; 0: not counted
	count     int       // how often it occurs in the whole; 0: it is a part of another's time, or an addition
	seconds   []float64 // of one execution, in each run
	share     float64   // of the whole's time; 0: not known
	shape     any       // of its operands, for --json
	detail    bool      // left out of the table unless asked for
}

// rates returns the throughput of each run.
func (t timing) rates() []float64 {
	out := make([]float64, len(t.seconds))
	for i, s := range t.seconds {
		out[i] = t.work / max(s, 1e-9)
	}
	return out
}

// measure times f in each of the runs after a warm-up, in which it also finds
// how often a run has to repeat it. It returns the seconds of one f.
func (b *bench) measure(ctx context.Context, f func() error) ([]float64, error) {
	var once time.Duration
	for warm := time.Duration(0); warm < minRun; { // first calls fault memory in and fill caches
		start := time.Now()
		if err := f(); err != nil {
			return nil, err
		}
		once = max(time.Since(start), 1)
		warm += once
	}
	repeat := int((minRun + once - 1) / once)
	seconds := make([]float64, b.runs)
	for i := range seconds {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		start := time.Now()
		for range repeat {
			if err := f(); err != nil {
				return nil, err
			}
		}
		seconds[i] = time.Since(start).Seconds() / float64(repeat)
	}
	return seconds, nil
}

// measurePhases times phases on the bench's workers.
func (b *bench) measurePhases(ctx context.Context, phases []par.Phase) ([]float64, error) {
	return b.measure(ctx, func() error {
		for _, ph := range phases {
			b.pool.Run(ph)
		}
		return nil
	})
}

// measureLimits measures what the machine has to give all workers together:
// of multiply-adds, and of memory. Either is the best run's: a limit is what was
// reached once.
func (b *bench) measureLimits(ctx context.Context) error {
	// Milliseconds, so that the start of the workers does not show.
	const rounds = 2_000_000
	var flops int64
	seconds, err := b.measurePhases(ctx, []par.Phase{{Tasks: b.pool.Workers(), Run: func(_, task int) {
		if n := kernel.FMALoop(rounds); task == 0 {
			flops = n
		}
	}}})
	if err != nil {
		return err
	}
	b.peak = float64(flops) * float64(b.pool.Workers()) / slices.Min(seconds) / 1e9
	// Three arrays of 64 MiB: more than a processor's share of any cache.
	const floats, pieces = 16 << 20, 64
	x, y, z := kernel.Alloc(floats), kernel.Alloc(floats), kernel.Alloc(floats)
	seconds, err = b.measurePhases(ctx, []par.Phase{{Tasks: pieces, Run: func(_, task int) {
		lo, hi := task*floats/pieces, (task+1)*floats/pieces
		kernel.Triad(x[lo:hi], y[lo:hi], z[lo:hi], 3)
	}}})
	if err != nil {
		return err
	}
	b.memory = 3 * 4 * floats / slices.Min(seconds) / 1e9
	return nil
}

// total is the whole: the sum of the timings that have a count.
func total(timings []timing) timing {
	t := timing{name: "total", count: 1}
	for _, part := range timings {
		n := float64(part.count)
		if part.count == 0 {
			continue
		}
		if t.seconds == nil {
			t.seconds = make([]float64, len(part.seconds))
		}
		t.work += n * part.work
		t.flops += n * part.flops
		t.bytes += n * part.bytes
		for i, s := range part.seconds {
			t.seconds[i] += n * s
		}
	}
	return t
}

func median(x []float64) float64 {
	s := slices.Sorted(slices.Values(x))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// benchCase is a line of --json.
type benchCase struct {
	Bench   string    `json:"bench"`
	Case    string    `json:"case"`
	Unit    string    `json:"unit"`
	Median  float64   `json:"median"`
	Runs    []float64 `json:"runs"`
	Kernel  string    `json:"kernel"`
	Workers int       `json:"workers"`

	Count       int     `json:"count,omitempty"` // occurrences in the whole
	Shape       any     `json:"shape,omitempty"`
	Share       float64 `json:"share,omitempty"`      // of the whole's time
	UnitBytes   int     `json:"unit_bytes,omitempty"` // of pixels, of a pair that is passed on
	GFLOPs      float64 `json:"gflops_per_s,omitempty"`
	PeakShare   float64 `json:"peak_share,omitempty"` // of the multiply-add units
	PeakGFLOPs  float64 `json:"peak_gflops_per_s,omitempty"`
	GBs         float64 `json:"gb_per_s,omitempty"`     // each operand once
	MemoryShare float64 `json:"memory_share,omitempty"` // of the memory's bandwidth
	MemoryGBs   float64 `json:"memory_gb_per_s,omitempty"`
	ArenaBytes  int64   `json:"arena_bytes,omitempty"`  // of activations, scratch and weights packed for a pass
	PackedBytes int64   `json:"packed_bytes,omitempty"` // of weights that stay packed over several passes
}

// caseOf is a timing as a line of the result.
func (b *bench) caseOf(t timing) benchCase {
	rates := t.rates()
	c := benchCase{
		Bench: b.kind.name, Case: t.name, Unit: b.kind.unit, Median: median(rates), Runs: rates, Kernel: b.kernel, Workers: b.pool.Workers(),
		Count: t.count, Shape: t.shape, Share: t.share, UnitBytes: t.unitBytes,
	}
	if t.flops > 0 {
		c.GFLOPs = t.flops / max(median(t.seconds), 1e-9) / 1e9
		if b.peak > 0 {
			c.PeakShare = c.GFLOPs / b.peak
		}
	}
	if t.bytes > 0 {
		c.GBs = t.bytes / max(median(t.seconds), 1e-9) / 1e9
		if b.memory > 0 {
			c.MemoryShare = c.GBs / b.memory
		}
	}
	if t.name == "total" {
		c.MemoryGBs = b.memory
		c.PeakGFLOPs, c.ArenaBytes, c.PackedBytes = b.peak, b.held.arenas, b.held.packed
	}
	return c
}

// report prints the timings and, last, the whole.
func (b *bench) report(timings []timing) error {
	if !slices.ContainsFunc(timings, func(t timing) bool { return t.name == "total" }) {
		timings = append(timings, total(timings))
	}
	if b.common.json {
		enc := json.NewEncoder(b.std.out)
		enc.SetEscapeHTML(false) // a layer's "3->64" stays readable
		for _, t := range timings {
			if err := enc.Encode(b.caseOf(t)); err != nil {
				return err
			}
		}
		return nil
	}
	fmt.Fprintf(b.std.out, "%s\n%s, kernel %s, %s on %s/%s\n", b.setup, plural(b.pool.Workers(), "worker"), b.kernel, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	if b.peak > 0 {
		fmt.Fprintf(b.std.out, "multiply-add peak %.0f GFLOP/s, memory %.1f GB/s\n", b.peak, b.memory)
	}
	if b.held.arenas > 0 {
		fmt.Fprintf(b.std.out, "memory: activations %s", humanize.IBytes(uint64(b.held.arenas)))
		if b.held.packed > 0 {
			fmt.Fprintf(b.std.out, ", weights that stay packed %s", humanize.IBytes(uint64(b.held.packed)))
		}
		fmt.Fprintln(b.std.out)
	}
	fmt.Fprintln(b.std.out)
	return b.table(timings)
}

// table prints the timings for people: the median and how far the runs spread,
// and of what else is known the columns.
func (b *bench) table(timings []timing) error {
	cases := make([]benchCase, len(timings))
	flops, shares, bytes, moved := false, false, false, false
	for i, t := range timings {
		cases[i] = b.caseOf(t)
		shares = shares || t.share > 0
		flops = flops || t.flops > 0
		moved = moved || cases[i].MemoryShare > 0
		bytes = bytes || t.unitBytes > 0
	}
	w := tabwriter.NewWriter(b.std.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "case\tms\t%s\tmin\tmax", b.kind.unit)
	if bytes {
		fmt.Fprint(w, "\tGB/s")
	}
	if flops && b.kind.unit != gflops {
		fmt.Fprintf(w, "\t%s", gflops)
	}
	if flops {
		fmt.Fprint(w, "\tof peak")
	}
	if moved {
		fmt.Fprint(w, "\tof memory")
	}
	if shares {
		fmt.Fprint(w, "\tof time")
	}
	fmt.Fprintln(w)
	for i, t := range timings {
		if t.detail && !b.profile {
			continue
		}
		c := cases[i]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s", t.name, significant(1e3*median(t.seconds)), significant(c.Median), significant(slices.Min(c.Runs)), significant(slices.Max(c.Runs)))
		if bytes {
			fmt.Fprintf(w, "\t%s", blankZero(c.Median*float64(c.UnitBytes)/1e9, significant))
		}
		if flops && b.kind.unit != gflops {
			fmt.Fprintf(w, "\t%s", blankZero(c.GFLOPs, significant))
		}
		if flops {
			fmt.Fprintf(w, "\t%s", blankZero(c.PeakShare, percent))
		}
		if moved {
			fmt.Fprintf(w, "\t%s", blankZero(c.MemoryShare, percent))
		}
		if shares {
			fmt.Fprintf(w, "\t%s", blankZero(c.Share, percent))
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

// blankZero leaves out what is not known.
func blankZero(v float64, format func(float64) string) string {
	if v == 0 {
		return ""
	}
	return format(v)
}

func percent(v float64) string { return fmt.Sprintf("%.1f %%", 100*v) }

// significant prints three digits, or all before the point.
func significant(v float64) string {
	if v == 0 {
		return "0"
	}
	digits := 2 - int(math.Floor(math.Log10(math.Abs(v))))
	return fmt.Sprintf("%.*f", min(max(digits, 0), 6), v)
}
