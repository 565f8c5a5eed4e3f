package contrast_test

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"clpipe/batch"
	"clpipe/contrast"
	"clpipe/encoder"
	"clpipe/internal/par"
	"clpipe/internal/rng"
)

// stepCase is a variant of MoCo whose steps are taken apart.
type stepCase struct {
	name      string
	symmetric bool
	splitBN   int
	mask      bool
	init      contrast.QueueInit
	queue     int
}

var stepCases = []stepCase{
	{"plain", false, 1, false, contrast.QueueEmpty, 10},
	{"masked", false, 1, true, contrast.QueueEmpty, 10},
	{"random queue", false, 1, true, contrast.QueueRandom, 10},
	{"split bn", false, 2, true, contrast.QueueEmpty, 8},
	{"symmetric", true, 2, true, contrast.QueueEmpty, 11},
}

// sample ids repeat, in an epoch and from one to the next, and some are missing.
func repeatedIDs(_, index int) string {
	if index%5 == 4 {
		return ""
	}
	return fmt.Sprint("sample-", index%5)
}

// forward computes the embeddings of pixels by a network whose tensors are
// given, in batch statistics of samples grouped by place.
func forward(t *testing.T, cfg contrast.Config, params batch.State, pixels []byte, place []int) []float32 {
	t.Helper()
	g := cfg.Graph()
	plan, err := encoder.Compile(g, encoder.Options{Batch: cfg.Batch, Mode: encoder.TrainNoGrad, Groups: cfg.SplitBN, Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	p := encoder.NewParams(g, 0)
	if err := p.Load(params); err != nil {
		t.Fatal(err)
	}
	pool := par.NewPool(1)
	defer pool.Close()
	arena := plan.Bind(p, pool).NewArena()
	arena.SetGroups(place)
	arena.Forward(pixels)
	rows := arena.Output("embedding")
	var out []float32
	for i := range rows.N {
		out = append(out, rows.Row(i)...)
	}
	return out
}

// naive is the loss of one direction with its logits written out in float64,
// and what the metrics say of it.
type naive struct {
	loss, entropy, candidates, masked float64 // sums over queries
	acc1, acc5                        float64
}

func contrastNaively(cfg contrast.Config, q, k []float32, queue queueState, ids []uint64) naive {
	d := cfg.Dim
	dot := func(a, b []float32) float64 {
		sum := 0.0
		for i := range a {
			sum += float64(a[i]) * float64(b[i])
		}
		return sum / cfg.Temperature
	}
	var out naive
	for i := range cfg.Batch {
		query := q[i*d : (i+1)*d]
		logits := []float64{dot(query, k[i*d:(i+1)*d])}
		above := 0
		for j := range int(queue.filled) {
			if cfg.MaskSameID && ids[i] != 0 && ids[i] == queue.ids[j] {
				out.masked++
				continue
			}
			logit := dot(query, queue.keys[j*d:(j+1)*d])
			if logit > logits[0] {
				above++
			}
			logits = append(logits, logit)
		}
		sum := 0.0
		for _, l := range logits {
			sum += math.Exp(l)
		}
		out.loss += math.Log(sum) - logits[0]
		for _, l := range logits {
			p := math.Exp(l) / sum
			out.entropy -= p * math.Log(p)
		}
		out.candidates += math.Log(float64(len(logits)))
		if above < 1 {
			out.acc1++
		}
		if above < 5 {
			out.acc5++
		}
	}
	return out
}

// Every step is done again from the checkpoints before and after it, by an
// encoder of its own and a loss written out in float64: which weights make the
// queries and the keys, which keys the queue holds and lacks, how keys are
// shuffled over the groups of batch statistics, and all that the metrics say.
func TestStepsTakenApart(t *testing.T) {
	const steps = 6
	for _, c := range stepCases {
		t.Run(c.name, func(t *testing.T) {
			cfg := small(t, steps)
			cfg.Symmetric, cfg.SplitBN, cfg.MaskSameID, cfg.QueueInit, cfg.Queue, cfg.Momentum = c.symmetric, c.splitBN, c.mask, c.init, c.queue, 0.9
			in := newSource(8, 2, 14, 4) // batches of 4 leave a tail of 2
			in.id = repeatedIDs
			trainer, err := contrast.New(cfg, contrast.Hooks{})
			if err != nil {
				t.Fatal(err)
			}
			defer trainer.Close()
			start, err := trainer.State()
			if err != nil {
				t.Fatal(err)
			}
			rec := &recorder{}
			if _, err := trainer.Train(t.Context(), in, rec); err != nil {
				t.Fatal(err)
			}
			rec.states[0] = start
			var model modelQueue
			if q := openQueue(t, start.Under("queue.")); c.init == contrast.QueueRandom {
				model.enqueue(q.keys, q.ids, cfg.Dim, cfg.Queue)
			}
			places := map[string]bool{}
			masked := 0.0
			for step := 1; step <= steps; step++ {
				before, after := rec.states[step-1], rec.states[step]
				var views [2][]byte
				ids := make([]uint64, cfg.Batch)
				for i := range cfg.Batch {
					at := (step-1)%3*4 + i
					row := batch.Row{Epoch: uint32((step - 1) / 3), Index: uint64(at)}
					for v := range views {
						views[v] = append(views[v], in.view(row, v)...)
					}
					if id := repeatedIDs(0, at); id != "" {
						ids[i] = rng.HashID(id)
					}
				}
				queue := openQueue(t, before.Under("queue."))
				var sum naive
				var q, k []float32
				var keys [][]float32
				for direction := range 2 {
					if direction == 1 && !c.symmetric {
						break
					}
					place := make([]int, cfg.Batch)
					draw := rng.New(cfg.Seed, rng.KeyPerm, uint64(step-1), uint64(direction))
					draw.Perm(place)
					places[fmt.Sprint(place)] = true
					query := forward(t, cfg, before.Under("encoder_q."), views[direction], nil)
					key := forward(t, cfg, after.Under("encoder_k."), views[1-direction], place)
					if direction == 0 {
						q, k = query, key
					}
					n := contrastNaively(cfg, query, key, queue, ids)
					sum.loss, sum.entropy, sum.candidates = sum.loss+n.loss, sum.entropy+n.entropy, sum.candidates+n.candidates
					sum.masked, sum.acc1, sum.acc5 = sum.masked+n.masked, sum.acc1+n.acc1, sum.acc5+n.acc5
					keys = append(keys, key)
				}
				for _, key := range slices.Backward(keys) { // those of the anchors first
					model.enqueue(key, ids, cfg.Dim, cfg.Queue)
				}
				if got := openQueue(t, after.Under("queue.")).inOrder(cfg.Dim); !got.equal(&model) {
					t.Fatalf("step %d: the queue is not the last %d keys:\ngot  %v %v\nwant %v %v", step, cfg.Queue, got.rows, got.ids, model.rows, model.ids)
				}
				masked += sum.masked
				checkMetrics(t, cfg, rec.metrics[step-1], sum, queue, q, k)
			}
			if repeats := masked > 0; repeats != c.mask {
				t.Errorf("%v queue rows were masked in %d steps", masked, steps)
			}
			if want := len(places); c.splitBN > 1 && want < steps-1 {
				t.Errorf("%d different permutations of the keys in %d steps", want, steps)
			}
		})
	}
}

// checkMetrics compares an entry with sums over the queries of all directions.
func checkMetrics(t *testing.T, cfg contrast.Config, m contrast.Metrics, sum naive, queue queueState, q, k []float32) {
	t.Helper()
	n, d := float64(cfg.Batch), cfg.Dim
	directions := 1.0
	if cfg.Symmetric {
		directions = 2
	}
	var alignment, uniformity, std float64
	pairs := 0.0
	for i := range cfg.Batch {
		for c := range d {
			alignment += math.Pow(float64(q[i*d+c])-float64(k[i*d+c]), 2) / n
		}
		for j := range i {
			distance := 0.0
			for c := range d {
				distance += math.Pow(float64(q[i*d+c])-float64(q[j*d+c]), 2)
			}
			uniformity += math.Exp(-2 * distance)
			pairs++
		}
	}
	for c := range d {
		var mean, square float64
		for i := range cfg.Batch {
			mean += float64(q[i*d+c]) / n
		}
		for i := range cfg.Batch {
			square += math.Pow(float64(q[i*d+c])-mean, 2)
		}
		std += math.Sqrt(square/(n-1)) / float64(d)
	}
	masked := 0.0
	if queue.filled > 0 {
		masked = sum.masked / n / directions / float64(queue.filled)
	}
	for _, v := range []struct {
		name      string
		got, want float64
	}{
		{"loss", m.Loss, sum.loss / n},
		{"mi_bound_nats", m.MIBound, (sum.candidates - sum.loss) / n / directions},
		{"entropy", *m.Entropy, sum.entropy / n / directions},
		{"acc1", m.Acc1, sum.acc1 / n / directions},
		{"acc5", *m.Acc5, sum.acc5 / n / directions},
		{"alignment", m.Alignment, alignment},
		{"uniformity", m.Uniformity, math.Log(uniformity / pairs)},
		{"embedding_std", m.EmbeddingStd, std},
		{"masked", m.Masked, masked},
		{"queue_filled", float64(m.QueueFilled), math.Min(float64(cfg.Queue), float64(queue.filled)+n*directions)},
		{"samples", float64(m.Samples), n * float64(m.Step)},
		{"lr", m.LR, cfg.Schedule.LR(m.Step-1, m.Epoch)},
	} {
		if !(math.Abs(v.got-v.want) <= 1e-5*math.Max(1, math.Abs(v.want))) {
			t.Errorf("step %d: %s is %v, want %v", m.Step, v.name, v.got, v.want)
		}
	}
}

// trained returns the names of a network's trained tensors.
func trained(s batch.State) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(s.Tensors)), func(name string) bool {
		return strings.Contains(name, "running_") || strings.HasSuffix(name, "num_batches_tracked")
	})
}

// The key encoder moves before the step: m = 1 leaves it where it was, m = 0
// makes it the query encoder of the step before; its batch statistics are its own.
func TestMomentumMovesTheKeyEncoder(t *testing.T) {
	const steps = 3
	for _, m := range []float64{0, 0.75, 1} {
		cfg := small(t, steps)
		cfg.Momentum = m
		trainer, err := contrast.New(cfg, contrast.Hooks{})
		if err != nil {
			t.Fatal(err)
		}
		start, err := trainer.State()
		trainer.Close()
		if err != nil {
			t.Fatal(err)
		}
		_, rec := train(t, cfg, newSource(8, 1, 12, 4), &start, contrast.Hooks{})
		rec.states[0] = start
		for step := 1; step <= steps; step++ {
			q, k := rec.states[step-1].Under("encoder_q."), rec.states[step-1].Under("encoder_k.")
			got := rec.states[step].Under("encoder_k.")
			moved := false
			for _, name := range trained(got) {
				qs, _ := batch.Values[float32](q.Tensors[name])
				ks, _ := batch.Values[float32](k.Tensors[name])
				vs, _ := batch.Values[float32](got.Tensors[name])
				for i, v := range vs {
					want := m*float64(ks[i]) + (1-m)*float64(qs[i])
					if math.Abs(float64(v)-want) > 1e-7*math.Max(1, math.Abs(want)) {
						t.Fatalf("m = %v, step %d: %s[%d] is %v, want %v", m, step, name, i, v, want)
					}
					if m == 0 && v != qs[i] || m == 1 && v != ks[i] {
						t.Fatalf("m = %v, step %d: %s[%d] is %v, want exactly %v", m, step, name, i, v, want)
					}
					moved = moved || v != ks[i]
				}
			}
			if want := m < 1 && step > 1; moved != want { // before the first step both are equal
				t.Errorf("m = %v, step %d: the key encoder moved: %v", m, step, moved)
			}
			if n, _ := batch.Values[int64](got.Tensors["bn1.num_batches_tracked"]); n[0] != int64(step) {
				t.Errorf("m = %v, step %d: the key encoder's statistics saw %d batches", m, step, n[0])
			}
		}
	}
}

// Without negatives the loss is 0, and the step still is one: weights decay, the
// optimiser remembers, statistics and queue go on.
func TestFirstStepOfAnEmptyQueueIsAStep(t *testing.T) {
	cfg := small(t, 1)
	cfg.QueueInit, cfg.WeightDecay = contrast.QueueEmpty, 0.01
	cfg.Schedule.Kind = encoder.Constant
	trainer, err := contrast.New(cfg, contrast.Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	start, err := trainer.State()
	if err != nil {
		t.Fatal(err)
	}
	rec := &recorder{}
	if _, err := trainer.Train(t.Context(), newSource(8, 1, 4, 4), rec); err != nil {
		t.Fatal(err)
	}
	if m := rec.metrics[0]; m.Loss != 0 || m.MIBound != 0 || *m.Entropy != 0 || m.Acc1 != 1 || m.QueueFilled != cfg.Batch {
		t.Errorf("metrics %+v, want loss, bound and entropy 0, acc1 1 and %d keys", m, cfg.Batch)
	}
	before, after := start.Under("encoder_q."), rec.states[1]
	for _, name := range trained(before) {
		was, _ := batch.Values[float32](before.Tensors[name])
		is, _ := batch.Values[float32](after.Tensors["encoder_q."+name])
		momentum, _ := batch.Values[float32](after.Tensors["optimizer.momentum_buffer."+name])
		for i, v := range was {
			decay := cfg.WeightDecay * float64(v)
			if math.Abs(float64(momentum[i])-decay) > 1e-7 || math.Abs(float64(is[i])-(float64(v)-cfg.Schedule.Base*decay)) > 1e-7 {
				t.Fatalf("%s[%d] went from %v to %v with momentum %v, want decay by %v", name, i, v, is[i], momentum[i], decay)
			}
		}
	}
	for _, network := range []string{"encoder_q.", "encoder_k."} {
		mean, _ := batch.Values[float32](after.Tensors[network+"bn1.running_mean"])
		if !slices.ContainsFunc(mean, func(v float32) bool { return v != 0 }) {
			t.Errorf("%sbn1.running_mean is still 0", network)
		}
	}
}
