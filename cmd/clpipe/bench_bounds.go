package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"text/tabwriter"

	"clpipe/contrast/gaussian"
	"clpipe/encoder/probe"
	"clpipe/internal/kernel"
	"clpipe/internal/par"
	"clpipe/sink/chart"

	"github.com/spf13/cobra"
)

// boundsFlags are the options of the experiment.
type boundsFlags struct {
	common  commonFlags
	bounds  []string
	critics []string
	levels  []float64
	dim     int
	batch   int
	steps   int
	lr      float64
	output  string
}

// boundsBenchCommand estimates known mutual information. It measures bounds, not
// speed: what it prints are nats.
func boundsBenchCommand(std stdio, sig *signals) *cobra.Command {
	var flags boundsFlags
	cmd := &cobra.Command{
		Use: "bounds", Short: "Estimate a known mutual information by each bound",
		Long: `Repeats the experiment of "On Variational Bounds of Mutual Information" (Poole et
al. 2019, figure 2): the information of two correlated Gaussian vectors rises in
known steps while a critic is trained to estimate it. Bias and deviation are those
of the last third of each step's estimates. InfoNCE cannot pass log K.`,
		Example: `  clpipe bench bounds -o bounds.png
  clpipe bench bounds --critic separable,joint --bounds nce,nwj --train-steps 4000 --lr 0.0005 --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := sig.stoppable(cmd.Context())
			defer cancel()
			return flags.run(ctx, std)
		},
	}
	fs := cmd.Flags()
	flags.common.addOutput(fs)
	flags.common.addWorkers(fs)
	fs.Uint64Var(&flags.common.seed, "seed", 1, "decides vectors and initial weights")
	fs.StringSliceVar(&flags.bounds, "bounds", gaussian.Bounds, "bounds to estimate by")
	fs.StringSliceVar(&flags.critics, "critic", []string{"separable"}, "separable, bilinear, joint (slow: a network sees all pairs)")
	fs.Float64SliceVar(&flags.levels, "mi", []float64{2, 4, 6, 8, 10}, "mutual information of each step, in `nats`")
	fs.Lookup("mi").DefValue = "2,4,6,8,10" // pflag would show 2.000000 and so on
	fs.IntVar(&flags.dim, "dim", 20, "dimensions of each vector")
	fs.IntVar(&flags.batch, "batch", 64, "K, pairs in a batch")
	fs.IntVar(&flags.steps, "train-steps", 800, "training steps at each mutual information")
	fs.Float64Var(&flags.lr, "lr", 1e-3, "learning rate of Adam")
	fs.StringVarP(&flags.output, "output", "o", "", "PNG file to draw the estimates into")
	return cmd
}

// A boundCurve is a trained experiment.
type boundCurve struct {
	cfg       gaussian.Config
	estimates []float64
	err       error
}

func (c boundCurve) name() string { return c.cfg.Bound + ", " + c.cfg.Critic }

// boundCase is a line of --json: a bound at a mutual information. Median and Runs
// are those of the estimates that count, in tenths.
type boundCase struct {
	Bench   string    `json:"bench"`
	Case    string    `json:"case"`
	Unit    string    `json:"unit"`
	Median  float64   `json:"median"`
	Runs    []float64 `json:"runs"`
	Kernel  string    `json:"kernel"`
	Workers int       `json:"workers"`

	Bound    string  `json:"bound"`
	Critic   string  `json:"critic"`
	True     float64 `json:"true"`
	Mean     float64 `json:"mean"`
	Bias     float64 `json:"bias"`
	Variance float64 `json:"variance"`
	Ceiling  float64 `json:"ceiling"` // log K
	Batch    int     `json:"batch"`
	Steps    int     `json:"steps"`
}

func (f *boundsFlags) run(ctx context.Context, std stdio) error {
	if f.batch > 4096 || f.dim > 4096 {
		return usagef("--batch is %d and --dim %d, want at most 4096", f.batch, f.dim)
	}
	for _, nats := range f.levels {
		if !(nats >= 0 && nats <= 100) {
			return usagef("--mi has %g, want 0 to 100 nats", nats)
		}
	}
	if err := wantPNG(f.output); err != nil {
		return err
	}
	var curves []boundCurve
	for _, critic := range f.critics {
		for _, bound := range f.bounds {
			curves = append(curves, boundCurve{cfg: gaussian.Config{
				Bound: bound, Critic: critic, Dim: f.dim, Batch: f.batch, Levels: f.levels, Steps: f.steps, LR: f.lr, Seed: f.common.seed,
			}})
		}
	}
	pool := par.NewPool(f.common.workers)
	defer pool.Close()
	pool.Run(par.Phase{Tasks: len(curves), Run: func(_, i int) { // each by itself: small networks do not split well
		if c := &curves[i]; ctx.Err() == nil {
			c.estimates, c.err = gaussian.Run(c.cfg)
		}
	}})
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, c := range curves {
		if c.err != nil {
			return usageError{c.err}
		}
	}
	cases := f.cases(curves, pool.Workers())
	if f.output != "" {
		if err := chart.WritePanels(f.output, f.panels(curves, cases), 3); err != nil {
			return err
		}
	}
	if f.common.json {
		enc := json.NewEncoder(std.out)
		for _, c := range cases {
			if err := enc.Encode(c); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(std.out, 0, 0, 3, ' ', 0)
	fmt.Fprintf(std.out, "K %d, log K %.2f nats, %d dimensions, %d steps at each level\n\n", f.batch, math.Log(float64(f.batch)), f.dim, f.steps)
	fmt.Fprintln(w, "bound\tcritic\ttrue\tmean\tbias\tdeviation")
	for _, c := range cases {
		fmt.Fprintf(w, "%s\t%s\t%g\t%.2f\t%+.2f\t%.2f\n", c.Bound, c.Critic, c.True, c.Mean, c.Bias, math.Sqrt(c.Variance))
	}
	return w.Flush()
}

// cases measures each curve at each level.
func (f *boundsFlags) cases(curves []boundCurve, workers int) []boundCase {
	var out []boundCase
	for _, c := range curves {
		for i, nats := range f.levels {
			end := (i + 1) * f.steps
			settled := c.estimates[end-(f.steps+2)/3 : end]
			mean, std := probe.MeanStd(settled)
			out = append(out, boundCase{
				Bench: "bounds", Case: fmt.Sprintf("%s, %g nats", c.name(), nats), Unit: "nats", Median: median(settled), Runs: tenths(settled),
				Kernel: kernel.Selected(), Workers: workers, Bound: c.cfg.Bound, Critic: c.cfg.Critic, True: nats,
				Mean: finite(mean), Bias: finite(mean - nats), Variance: finite(std * std), Ceiling: math.Log(float64(f.batch)), Batch: f.batch, Steps: f.steps,
			})
		}
	}
	return out
}

// finite holds numbers to what JSON can say: a bound that ran off to -Inf stays
// at the least number.
func finite(v float64) float64 {
	if math.IsNaN(v) {
		return -math.MaxFloat64
	}
	return min(max(v, -math.MaxFloat64), math.MaxFloat64)
}

// tenths returns the means of ten parts, of fewer values themselves.
func tenths(x []float64) []float64 {
	parts := min(10, len(x))
	out := make([]float64, parts)
	for i := range out {
		mean, _ := probe.MeanStd(x[i*len(x)/parts : (i+1)*len(x)/parts])
		out[i] = finite(mean)
	}
	return out
}

// panels are the estimates of each bound over the steps, then bias and deviation
// of all.
func (f *boundsFlags) panels(curves []boundCurve, cases []boundCase) []chart.Panel {
	const points = 250
	total := len(f.levels) * f.steps
	high := 0.0
	var stairsX, stairsY []float64
	for i, nats := range f.levels {
		stairsX, stairsY = append(stairsX, float64(i*f.steps), float64((i+1)*f.steps)), append(stairsY, nats, nats)
		high = max(high, nats)
	}
	ceiling := math.Log(float64(f.batch))
	floor, top := -1.0, max(high, ceiling)*1.3+1
	var panels []chart.Panel
	for _, c := range curves {
		single, mean := chart.Line{Name: "estimate of a batch", Plain: true}, chart.Line{Name: "mean of neighbours", Plain: true}
		for i := range min(points, total) {
			at := i * total / min(points, total)
			from, to := max(0, at-total/200), min(total, at+total/200+1)
			m, _ := probe.MeanStd(c.estimates[from:to])
			single.X, single.Y = append(single.X, float64(at)), append(single.Y, min(max(c.estimates[at], floor), top))
			mean.X, mean.Y = append(mean.X, float64(at)), append(mean.Y, min(max(finite(m), floor), top))
		}
		panels = append(panels, chart.Panel{
			Title: c.name(), XLabel: "training step", YLabel: "nats", YMin: floor, YMax: top,
			Lines: []chart.Line{single, mean, {Name: "true", X: stairsX, Y: stairsY, Dashed: true}, {Name: "log K", X: []float64{0, float64(total)}, Y: []float64{ceiling, ceiling}, Dashed: true}},
		})
	}
	bias := chart.Panel{Title: "bias", XLabel: "true mutual information, nats", YLabel: "mean estimate - true, nats", YMin: -high, YMax: high / 2, Legend: true}
	spread := chart.Panel{Title: "deviation", XLabel: "true mutual information, nats", YLabel: "of single batches, nats", YMin: 0, YMax: high, Legend: true}
	for _, c := range curves {
		b, s := chart.Line{Name: c.name()}, chart.Line{Name: c.name()}
		for _, r := range cases {
			if r.Bound == c.cfg.Bound && r.Critic == c.cfg.Critic {
				b.X, b.Y = append(b.X, r.True), append(b.Y, min(max(r.Bias, -high), high/2))
				s.X, s.Y = append(s.X, r.True), append(s.Y, min(math.Sqrt(r.Variance), high))
			}
		}
		bias.Lines, spread.Lines = append(bias.Lines, b), append(spread.Lines, s)
	}
	return append(panels, bias, spread)
}
