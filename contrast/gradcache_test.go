package contrast

import (
	"math"
	"slices"
	"testing"

	"clpipe/encoder"
)

// sampleNormGraph normalises each sample by itself.
func sampleNormGraph(size, dim int) *encoder.Graph {
	g := encoder.NewGraph(size, size)
	x := g.Add("normalize", NormalizeCIFAR10, 0)
	for i, name := range []string{"a", "b"} {
		x = g.Add(name+".conv", encoder.Conv{Out: 12 << i, K: 3, Stride: 1 + i, Pad: 1}, x)
		x = g.Add(name+".norm", encoder.GroupNorm{Groups: 3}, x)
		x = g.Add(name+".relu", encoder.ReLU{}, x)
	}
	g.Output("features", g.Add("pool", encoder.GlobalAvgPool{}, x))
	g.AddHead(encoder.Head{Kind: encoder.MLPHead, Dim: dim})
	return g
}

func simclrGradients(t *testing.T, cfg Config, g *encoder.Graph) (loss float64, grad []float32) {
	t.Helper()
	plan, err := cfg.blueprint(g)
	if err != nil {
		t.Fatal(err)
	}
	x := newCPU(plan)
	defer x.close()
	m := buildSimCLR(x, g, cfg).(*simclr)
	size := cfg.Batch * cfg.Encoder.Size * cfg.Encoder.Size * 3
	b := &Batch{Anchor: make([]byte, size), Positive: make([]byte, size), IDs: make([]uint64, cfg.Batch)}
	for i := range b.Anchor {
		b.Anchor[i], b.Positive[i] = byte(i*i/7), byte(i*i/5)
	}
	x.begin(b, 0, 0)
	x.Forward(m.pass)
	x.Contrast(m.loss)
	x.Backward(m.pass)
	return x.meanLoss(), slices.Clone(x.nets[0].params.Grad)
}

// In chunks of any size the loss and its gradients are those of the whole batch
// where each sample is normalised by itself; with batch statistics they are not,
// but for the chunk that is the batch.
func TestGradientCachingEqualsTheWholeBatch(t *testing.T) {
	cfg, err := Recipe("simclr", 12, Small)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Batch, cfg.Dim, cfg.Workers, cfg.Encoder.Width = 12, 10, 2, 0.0625
	for _, c := range []struct {
		name  string
		graph *encoder.Graph
		batch bool // batch statistics
	}{{"group norm", sampleNormGraph(12, 10), false}, {"batch norm", cfg.Graph(), true}} {
		cfg.Chunk = 0
		loss, want := simclrGradients(t, cfg, c.graph)
		largest := 0.0
		for _, g := range want {
			largest = max(largest, math.Abs(float64(g)))
		}
		for _, cfg.Chunk = range []int{1, 2, 3, 4, 6, 12} {
			gotLoss, got := simclrGradients(t, cfg, c.graph)
			worst := math.Abs(gotLoss - loss)
			for i := range got {
				worst = max(worst, math.Abs(float64(got[i]-want[i]))/largest)
			}
			if equal := worst <= 2e-6; equal == (c.batch && cfg.Chunk < cfg.Batch) {
				t.Errorf("%s, chunks of %d: off by %.2g, loss %v and %v, gradients to %.3g", c.name, cfg.Chunk, worst, gotLoss, loss, largest)
			}
		}
	}
}

// The first forward pass of a chunk advances the running statistics, the second
// leaves them.
func TestGradientCachingCountsBatchesOnce(t *testing.T) {
	cfg, err := Recipe("simclr", 8, Small)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Batch, cfg.Chunk, cfg.Dim, cfg.Workers, cfg.Encoder.Width = 6, 2, 10, 1, 0.0625
	g := cfg.Graph()
	plan, err := cfg.blueprint(g)
	if err != nil {
		t.Fatal(err)
	}
	x := newCPU(plan)
	defer x.close()
	m := buildSimCLR(x, g, cfg).(*simclr)
	size := cfg.Batch * 8 * 8 * 3
	x.begin(&Batch{Anchor: make([]byte, size), Positive: make([]byte, size), IDs: make([]uint64, cfg.Batch)}, 0, 0)
	m.Step(x)
	if got := x.State().Tensors["encoder_q.bn1.num_batches_tracked"].Data().(int64); got != 3 {
		t.Errorf("a step in three chunks counts %d batches, want 3", got)
	}
}

// Chunks bound the memory of activations.
func TestGradientCachingSavesMemory(t *testing.T) {
	cfg, err := Recipe("simclr", 16, Small)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Batch, cfg.Workers, cfg.Encoder.Width = 32, 1, 0.0625
	bytes := func(chunk int) int64 {
		cfg.Chunk = chunk
		trainer, err := New(cfg, Hooks{})
		if err != nil {
			t.Fatal(err)
		}
		defer trainer.Close()
		arenas, _ := trainer.MemoryBytes()
		return arenas
	}
	if whole, parts := bytes(0), bytes(4); parts*4 > whole {
		t.Errorf("chunks of an eighth take %d bytes, the whole %d", parts, whole)
	}
}
