package contrast_test

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"

	"clpipe/batch"
	"clpipe/contrast"
	"clpipe/encoder"
	"clpipe/internal/goldentest"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"gorgonia.org/tensor"
)

// tensorSketch is what selfsupervised.py keeps of a tensor: its norm, and the
// sums of its elements under 16 rows of signs.
type tensorSketch struct {
	Norm float64
	Sums []float64
}

func sketchOf(v []float64) tensorSketch {
	s := tensorSketch{Sums: make([]float64, 16)}
	for i, u := range goldentest.Hashed(77, len(v)) {
		s.Norm += v[i] * v[i]
		signs := uint64(u * (1 << 24))
		for j := range s.Sums {
			s.Sums[j] += v[i] * (1 - 2*float64(signs>>j&1))
		}
	}
	s.Norm = math.Sqrt(s.Norm)
	return s
}

// distance estimates how far the tensors behind two sketches are apart, as a
// part of the norm of want or of floor, whichever is larger.
func (s tensorSketch) distance(want tensorSketch, floor float64) float64 {
	sum := 0.0
	for j, v := range s.Sums {
		sum += (v - want.Sums[j]) * (v - want.Sums[j]) / float64(len(s.Sums))
	}
	return math.Sqrt(sum) / max(want.Norm, floor)
}

// selfsupervisedRun is a run of selfsupervised.py.
type selfsupervisedRun struct {
	Config struct {
		Name, Method, Estimator       string
		Seed, Batch, Size, Dim, Depth int
		Hidden                        int
		Width, SGD, Adam, Beta1, Eps  float64
		WeightDecay                   float64 `json:"weight_decay"`
		Alpha, Beta, Gamma, Occlude   float64
		Coordinates                   string
		Mixture, Directions           int
		Sharpness, Entropy            float64
		Convolve, Learn               bool
		Critic, Bound                 string
		Queue                         int
		Temperature, Momentum         float64
		Mean, Std                     [3]float32
	}
	SGD struct {
		Losses                    []map[string]float64
		Gradients, Moved, Running map[string]tensorSketch
	}
	Adam []map[string]float64
}

func readSelfsupervised(t *testing.T) []selfsupervisedRun {
	t.Helper()
	var runs []selfsupervisedRun
	for _, file := range []string{"testdata/selfsupervised_golden.json", "testdata/inbatch_golden.json"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var golden struct{ Runs []selfsupervisedRun }
		if err := json.Unmarshal(text, &golden); err != nil {
			t.Fatal(err)
		}
		runs = append(runs, golden.Runs...)
	}
	return runs
}

// config returns the run's configuration under an optimiser.
func (r selfsupervisedRun) config(t *testing.T, kind encoder.OptimizerKind, steps int) contrast.Config {
	t.Helper()
	g := r.Config
	cfg, err := contrast.Recipe(g.Method, g.Size, contrast.Small)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Encoder.Width, cfg.Encoder.Normalize = g.Width, encoder.Normalize{Mean: g.Mean, Std: g.Std}
	cfg.Batch, cfg.Dim, cfg.Depth, cfg.Seed, cfg.Workers = g.Batch, g.Dim, g.Depth, uint64(g.Seed), 2
	if g.Temperature > 0 {
		cfg.Temperature, cfg.SplitBN = g.Temperature, 1
	}
	cfg.LearnTemperature = g.Learn
	if g.Critic != "" {
		cfg.Critic = contrast.Critic(g.Critic)
	}
	if g.Bound != "" {
		cfg.Bound, cfg.BoundAlpha = contrast.Bound(g.Bound), g.Alpha
	}
	if g.Queue > 0 {
		cfg.Queue = g.Queue
	}
	if g.Momentum > 0 {
		cfg.Momentum = g.Momentum
	}
	if g.Directions > 0 {
		cfg.Directions = g.Directions
	}
	if cfg.Mixture = g.Mixture; g.Mixture > 0 {
		cfg.MixtureSharpness, cfg.MixtureEntropy = g.Sharpness, g.Entropy
	}
	if g.Method == "dim" {
		cfg.Hidden, cfg.Estimator = g.Hidden, contrast.Estimator(g.Estimator)
		switch {
		case g.Alpha > 0 && g.Beta > 0:
			cfg.SetPairing(contrast.BothPairs)
		case g.Alpha > 0:
			cfg.SetPairing(contrast.GlobalPairs)
		}
		if g.Coordinates != "" {
			cfg.Coordinates = contrast.Coordinates(g.Coordinates)
		}
		cfg.Occlude = g.Occlude
		if cfg.Prior = g.Gamma; g.Convolve {
			cfg.Critic = contrast.ConvolveCritic
		}
	}
	cfg.Optimizer, cfg.SGDMomentum, cfg.WeightDecay = kind, 0.9, g.WeightDecay
	cfg.Schedule = encoder.Schedule{Kind: encoder.Constant, Base: g.SGD, Steps: steps}
	if kind == encoder.AdamOptimizer {
		cfg.SGDMomentum, cfg.AdamEps, cfg.Schedule.Base = g.Beta1, g.Eps, g.Adam
	}
	cfg.LogEvery, cfg.CheckpointSteps = 1, 1
	return cfg
}

// train runs the steps from the hashed weights.
func (r selfsupervisedRun) train(t *testing.T, cfg contrast.Config) (start batch.State, rec recorder) {
	t.Helper()
	trainer, err := contrast.New(cfg, contrast.Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	if start, err = trainer.State(); err != nil {
		t.Fatal(err)
	}
	for net, i := range map[string]int{"encoder_q.": 0, "discriminator.": 1, "temperature.": 1, "critic.": 1} {
		values := start.Under(net)
		for name := range values.Tensors {
			if strings.Contains(name, "running") || strings.HasSuffix(name, "num_batches_tracked") {
				delete(values.Tensors, name)
			}
		}
		initial(values, r.Config.Seed+1000*i)
	}
	if r.Config.Queue > 0 {
		keys, err := batch.Values[float32](start.Tensors["queue.keys"])
		if err != nil {
			t.Fatal(err)
		}
		for i, u := range goldentest.Hashed(r.Config.Seed+500, len(keys)) {
			keys[i] = float32(u*2 - 1)
		}
	}
	for name, key := range start.Under("encoder_k.").Tensors {
		if err := tensor.Copy(key, start.Tensors["encoder_q."+name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := trainer.Load(start); err != nil {
		t.Fatal(err)
	}
	if _, err := trainer.Train(t.Context(), viewsOf(cfg, r.Config.Seed, cfg.Schedule.Steps), &rec); err != nil {
		t.Fatal(err)
	}
	return start, rec
}

// methodViews is a stream of moco.py's pairs as a method takes them: cut into
// overlapping patches for CPC, without positives for one view.
type methodViews struct {
	pairs  *hashedPairs
	schema *arrow.Schema
	cfg    contrast.Config
}

func viewsOf(cfg contrast.Config, seed, steps int) batch.Reader {
	n, side := cfg.Batch, cfg.Encoder.Size
	pairs := &hashedPairs{schema: batch.PairsSchema(nil, 2, side, side, 3), seed: seed, steps: steps, n: n, side: side}
	if !cfg.OneView() {
		return pairs
	}
	return &methodViews{pairs, batch.PairsSchema(nil, 1, cfg.ViewShape()...), cfg}
}

func (v *methodViews) Schema(context.Context) (*arrow.Schema, error) { return v.schema, nil }

func (v *methodViews) Read(ctx context.Context) (arrow.Record, error) {
	rec, err := v.pairs.Read(ctx)
	if err != nil {
		return nil, err
	}
	defer rec.Release()
	whole, err := batch.NewPairs(rec)
	if err != nil {
		return nil, err
	}
	side, shape := v.cfg.Encoder.Size, v.cfg.ViewShape()
	b := batch.NewPairsBuilder(memory.DefaultAllocator, v.schema, v.cfg.Batch)
	for i := range v.cfg.Batch {
		index, _ := whole.Index(i)
		b.SetRow(i, batch.Row{Index: index})
		image, dst := whole.Anchor[i*side*side*3:(i+1)*side*side*3], b.View(0, i)
		if len(shape) == 3 {
			copy(dst, image)
			continue
		}
		grid, patch := shape[0], shape[2]
		for p := range grid * grid {
			top, left := p/grid*patch/2, p%grid*patch/2
			for y := range patch {
				at := ((top+y)*side + left) * 3
				dst = dst[copy(dst, image[at:at+patch*3]):]
			}
		}
	}
	return b.NewRecord(nil), nil
}

// Twenty steps of CPC, Deep InfoMax, AMDIM, InfoNCE in the batch, SimCLR and MoCo v3 beside PyTorch's float64
// (testdata/selfsupervised.py, inbatch.py) from the same weights on the same views, with the
// same draws. The first loss agrees to 1e-6, every gradient to 1e-3 of its norm
// (largest seen 3e-4, behind batch statistics of five samples), what two steps of
// SGD changed to 1 %. Later losses drift apart, since training in float32
// amplifies rounding. Short mode takes the first three, but of MoCo v3, whose
// momentum depends on the length of the run.
func TestSelfSupervisedStepsMatchPyTorch(t *testing.T) {
	for _, run := range readSelfsupervised(t) {
		if testing.Short() && run.Config.Momentum == 0 {
			run.SGD.Losses, run.Adam = run.SGD.Losses[:3], run.Adam[:3]
		}
		t.Run(run.Config.Name, func(t *testing.T) {
			cfg := run.config(t, encoder.SGDOptimizer, len(run.SGD.Losses))
			start, rec := run.train(t, cfg)
			run.compareLosses(t, "sgd", rec, run.SGD.Losses)
			floor := 0.0 // what cancels is measured by the others
			for _, g := range run.SGD.Gradients {
				floor = max(floor, 1e-3*g.Norm)
			}
			worst := 0.0
			for name, want := range run.SGD.Gradients {
				net, tensor, _ := strings.Cut(name, ".")
				prefix := "optimizer.momentum_buffer."
				if net != "encoder_q" {
					prefix = "optimizer_" + net + ".momentum_buffer."
				}
				was, got := values(t, start, name), values(t, rec.states[1], prefix+tensor)
				for i := range got {
					got[i] -= cfg.WeightDecay * was[i]
				}
				d := sketchOf(got).distance(want, floor)
				if worst = max(worst, d); !(d <= 1e-3) {
					t.Errorf("the gradient of %s deviates by %.2g of its norm %.3g", name, d, want.Norm)
				}
			}
			worstMove := 0.0
			for name, want := range run.SGD.Moved {
				was, got := values(t, start, name), values(t, rec.states[2], name)
				for i := range got {
					got[i] -= was[i]
				}
				d := sketchOf(got).distance(want, floor*cfg.Schedule.Base)
				if worstMove = max(worstMove, d); !(d <= 1e-2) {
					t.Errorf("%s moved differently by %.2g of the way %.3g", name, d, want.Norm)
				}
			}
			floor = 0 // the means of a predictor's zero means are zero
			for _, r := range run.SGD.Running {
				floor = max(floor, 1e-3*r.Norm)
			}
			for name, want := range run.SGD.Running {
				if d := sketchOf(values(t, rec.states[2], name)).distance(want, floor); !(d <= 1e-4) {
					t.Errorf("%s deviates by %.2g of its norm", name, d)
				}
			}
			t.Logf("largest deviation of a gradient %.2g, of a movement %.2g", worst, worstMove)

			_, rec = run.train(t, run.config(t, encoder.AdamOptimizer, len(run.Adam)))
			run.compareLosses(t, "adam", rec, run.Adam)
		})
	}
}

func (r selfsupervisedRun) compareLosses(t *testing.T, what string, rec recorder, want []map[string]float64) {
	t.Helper()
	for i, w := range want {
		tolerance := 2e-2
		if i == 0 {
			tolerance = 2e-6
		} else if i == 1 {
			tolerance = 1e-3
		}
		if got := rec.metrics[i].Loss; math.Abs(got-w["encoder_q"]) > tolerance*max(math.Abs(w["encoder_q"]), 1) {
			t.Errorf("%s, step %d: loss %.7f, want %.7f within %g", what, i+1, got, w["encoder_q"], tolerance)
		}
	}
}

// values returns a tensor as float64.
func values(t *testing.T, s batch.State, name string) []float64 {
	t.Helper()
	v, err := batch.Values[float32](s.Tensors[name])
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out
}

// Any number of workers gives the same run, and so does one that was interrupted.
func TestSelfSupervisedRunsRepeat(t *testing.T) {
	for _, run := range readSelfsupervised(t) {
		if run.Config.Size > 32 || run.Config.Batch > 20 || testing.Short() && run.Config.Method == "dim" && run.Config.Name != "dim-local-jsd" {
			continue
		}
		t.Run(run.Config.Name, func(t *testing.T) {
			cfg := run.config(t, encoder.AdamOptimizer, 4)
			_, first := run.train(t, cfg)
			want := first.states[4].Digest()
			cfg.Workers = 5
			if _, rec := run.train(t, cfg); rec.states[4].Digest() != want {
				t.Error("five workers give other weights than two")
			}
			trainer, err := contrast.New(cfg, contrast.Hooks{})
			if err != nil {
				t.Fatal(err)
			}
			defer trainer.Close()
			if err := trainer.Load(first.states[2]); err != nil {
				t.Fatal(err)
			}
			var rec recorder
			if _, err := trainer.Train(t.Context(), viewsOf(cfg, run.Config.Seed, 4), &rec); err != nil {
				t.Fatal(err)
			}
			if got := rec.states[4].Digest(); got != want {
				t.Error("a run that goes on from its second step ends with other weights")
			}
		})
	}
}

// One image has no negatives: InfoNCE is 0, the others refuse it. So does AMDIM,
// whose batch statistics need two.
func TestBatchOfOneImage(t *testing.T) {
	for _, c := range []struct {
		method    string
		estimator contrast.Estimator
		want      string
	}{
		{"dim", contrast.JSD, "at least 2: jsd compares images"},
		{"dim", contrast.DV, "at least 2: dv compares images"},
		{"dim", contrast.NCE, "batch statistics need more than one value"},
		{"amdim", "", "batch statistics need more than one value"},
		{"cpc", "", ""}, // its negatives are patches
	} {
		cfg, err := contrast.Recipe(c.method, 32, contrast.Small)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Batch = 1
		if c.estimator != "" {
			cfg.Estimator = c.estimator
		}
		err = cfg.Validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: error %v, want %q", c.method, c.estimator, err, c.want)
		}
	}
}

func TestSelfSupervisedSettingsAreChecked(t *testing.T) {
	for _, c := range []struct {
		method string
		size   int
		change func(*contrast.Config)
		want   string
	}{
		{"cpc", 30, func(*contrast.Config) {}, "size is 30, want a multiple of 8"},
		{"cpc", 32, func(c *contrast.Config) { c.Depth = 0 }, "depth is 0, want 1 to"},
		{"cpc", 32, func(c *contrast.Config) { c.Directions = 3 }, "directions is 3, want 1, 2 or 4"},
		{"dim", 48, func(*contrast.Config) {}, "size is 48, want 32 or 64, which dim's network is for: give --size"},
		{"dim", 32, func(c *contrast.Config) { c.Estimator = "kl" }, `estimator is "kl", want jsd, nce or dv`},
		{"dim", 32, func(c *contrast.Config) { c.Pairing = "all" }, `dim-objective is "all", want local, global or both`},
		{"dim", 32, func(c *contrast.Config) { c.SetPairing(contrast.BothPairs); c.Critic = contrast.ConvolveCritic }, `critic is "convolve", want dot, or convolve with local pairs`},
		{"dim", 32, func(c *contrast.Config) { c.Coordinates = "polar" }, `coordinates is "polar", want none, absolute, relative or both`},
		{"dim", 32, func(c *contrast.Config) { c.Occlude = math.NaN() }, "occlude is NaN, want in [0,1)"},
		{"dim", 32, func(c *contrast.Config) { c.Occlude, c.Critic = 0.5, contrast.ConvolveCritic }, "occlude is 0.5, want 0 with --critic convolve"},
		{"dim", 32, func(c *contrast.Config) { c.Prior = math.NaN() }, "prior is NaN, want at least 0"},
		{"infonce", 32, func(c *contrast.Config) { c.Critic = contrast.ConvolveCritic }, `critic is "convolve", want cosine, dot, bilinear or mlp`},
		{"simclr", 32, func(c *contrast.Config) { c.Critic = contrast.MLPCritic }, `critic is "mlp", want cosine, dot or bilinear`},
		{"moco", 32, func(c *contrast.Config) { c.Critic = contrast.DotCritic }, `critic is "dot", want cosine or bilinear`},
		{"infonce", 32, func(c *contrast.Config) { c.Bound = "kl" }, `bound is "kl", want nce, nwj, tuba, dv, jsd or ialpha`},
		{"infonce", 32, func(c *contrast.Config) { c.BoundAlpha = math.NaN() }, "bound-alpha is NaN, want in [0,1]"},
		{"infonce", 32, func(c *contrast.Config) { c.Bound, c.Batch = contrast.BoundNWJ, 1<<14 }, "batch is 16384, want at most 8192"},
		{"amdim", 224, func(*contrast.Config) {}, "size is 224, want 32, 64 or 128, which amdim's network is for: give --size"},
		{"amdim", 64, func(c *contrast.Config) { c.Mixture = -1 }, "mixture is -1, want 0 to 64"},
		{"amdim", 64, func(c *contrast.Config) { c.MixtureEntropy = math.NaN() }, "mixture-entropy is NaN, want in [0,1000]"},
		{"amdim", 64, func(c *contrast.Config) { c.Depth = 1 << 20 }, "depth is 1048576, want 1 to"},
	} {
		cfg, err := contrast.Recipe(c.method, c.size, contrast.Small)
		if err != nil {
			t.Fatal(err)
		}
		c.change(&cfg)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.method, err, c.want)
		}
	}
}

// What is published for each method, and its small form.
func TestSelfSupervisedRecipes(t *testing.T) {
	for _, c := range []struct {
		method                    string
		size                      int
		preset                    contrast.Preset
		batch, dim, hidden, depth int
		width, lr, beta1, decay   float64
		warmup                    int
		policy                    string
	}{
		{"cpc", 32, contrast.Small, 64, 64, 0, 1, 1, 4e-4, 0.8, 1e-5, 0, "cpc"},
		{"cpc", 64, contrast.Paper, 128, 64, 0, 2, 1, 4e-4, 0.8, 1e-5, 0, "cpc-v2"},
		{"dim", 32, contrast.Small, 64, 64, 512, 0, 1, 1e-4, 0.9, 0, 0, "dim"},
		{"dim", 64, contrast.Paper, 64, 64, 2048, 0, 1, 1e-4, 0.9, 0, 0, "dim"},
		{"amdim", 32, contrast.Small, 64, 256, 0, 1, 0.5, 2e-4, 0.8, 1e-5, 500, "amdim"},
		{"amdim", 32, contrast.Paper, 200, 1024, 0, 3, 1, 2e-4, 0.8, 1e-5, 500, "amdim"},
		{"amdim", 128, contrast.Paper, 480, 1536, 0, 8, 1.5, 2e-4, 0.8, 1e-5, 500, "amdim"},
	} {
		got, err := contrast.Recipe(c.method, c.size, c.preset)
		if err != nil {
			t.Fatal(err)
		}
		if got.Batch != c.batch || got.Dim != c.dim || got.Hidden != c.hidden || got.Depth != c.depth || got.Encoder.Width != c.width ||
			math.Abs(got.Schedule.Base-c.lr) > 1e-12 || got.SGDMomentum != c.beta1 || got.WeightDecay != c.decay ||
			got.Schedule.Warmup != c.warmup || got.Optimizer != encoder.AdamOptimizer || got.Policy() != c.policy {
			t.Errorf("%s at %d, %s: %+v, want %+v", c.method, c.size, c.preset, got, c)
		}
	}
	amdim, err := contrast.Recipe("amdim", 32, contrast.Small)
	if err != nil {
		t.Fatal(err)
	}
	amdim.Schedule.Warmup, amdim.Schedule.Steps = 0, 300
	for step, want := range map[int]float64{0: 2e-4, 249: 2e-4, 250: 4e-5, 279: 4e-5, 280: 8e-6} {
		if got := amdim.Schedule.LR(step, 0); math.Abs(got-want) > 1e-12 {
			t.Errorf("amdim: rate %v at %d of 300, want %v", got, step, want)
		}
	}
}
