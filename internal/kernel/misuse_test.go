package kernel

import (
	"strings"
	"testing"

	"clpipe/internal/par"
)

// A buffer of the wrong length is an error of the program: binding panics and
// says which buffer, and both lengths.
func TestBindingPanicsOnMisuse(t *testing.T) {
	bn := BatchNormShape{N: 2, HW: 4, C: 16, Groups: 1}
	args := BatchNormArgs{
		Y: Alloc(128), X: Alloc(128), Gamma: Alloc(16), Beta: Alloc(16), RunningMean: Alloc(16), RunningVar: Alloc(16), Saved: Alloc(bn.SavedLen()),
	}
	scratch := Alloc(bn.ScratchLen())
	nce := NewInfoNCE(InfoNCEShape{N: 2, D: 4, K: 3}, 1)
	loss := InfoNCEArgs{
		Query: Alloc(8), Positive: Alloc(8), Keys: Alloc(12), Loss: Alloc(2), Entropy: Alloc(2), Above: make([]int32, 2), Masked: make([]int32, 2),
	}
	nceScratch := Alloc(nce.ScratchLen())
	pool := MaxPoolShape{N: 1, H: 4, W: 4, C: 4, Kernel: 3, Stride: 2, Pad: 1}
	for _, c := range []struct {
		name, message string
		bind          func()
	}{
		{"batch norm input", "x: got 127 elements, want 128", func() { a := args; a.X = a.X[:127]; bn.Forward(a, scratch) }},
		{"batch norm scratch", "scratch: got 0 elements", func() {
			bn.Backward(BatchNormGrads{DY: args.Y, DX: args.Y, DGamma: args.Beta, DBeta: args.Beta}, args, nil)
		}},
		{"batch norm gradient", "dx: got 0 elements, want 128", func() { bn.Backward(BatchNormGrads{DY: args.Y}, args, scratch) }},
		{"batch norm without groups", "group: got 0 elements, want 2", func() {
			s := BatchNormShape{N: 2, HW: 4, C: 16, Groups: 2}
			a := args
			a.Saved = Alloc(s.SavedLen())
			s.Forward(a, Alloc(s.ScratchLen()))
		}},
		{"batch norm of nothing", "want every size positive", func() { BatchNormShape{}.Forward(args, scratch) }},
		{"group norm input", "x: got 127 elements, want 128", func() {
			s := GroupNormShape{N: 2, HW: 4, C: 16, Groups: 4}
			s.Forward(GroupNormArgs{Y: Alloc(128), X: Alloc(127), Gamma: Alloc(16), Beta: Alloc(16), Saved: Alloc(s.SavedLen())}, Alloc(s.ScratchLen()))
		}},
		{"group norm of odd groups", "groups that divide the channels", func() { GroupNormShape{N: 2, HW: 4, C: 16, Groups: 3}.Forward(GroupNormArgs{}, nil) }},
		{"layer norm scratch", "scratch: got 0 elements, want 32", func() {
			LayerNormShape{Rows: 1, C: 16}.Backward(LayerNormGrads{DY: Alloc(16), DX: Alloc(16), DGamma: Alloc(16), DBeta: Alloc(16)},
				LayerNormArgs{Y: Alloc(16), X: Alloc(16), Gamma: Alloc(16), Beta: Alloc(16)}, nil)
		}},
		{"layer norm of nothing", "want every size positive", func() { LayerNormShape{}.Forward(LayerNormArgs{}) }},
		{"infonce keys", "keys: got 11 elements, want 12", func() { a := loss; a.Keys = a.Keys[:11]; nce.Bind(&a, nceScratch) }},
		{"infonce without positives", "want one of the two", func() { a := loss; a.Positive = nil; nce.Bind(&a, nceScratch) }},
		{"infonce with ids of one side", "want both or none", func() { a := loss; a.KeyIDs = make([]uint64, 3); nce.Bind(&a, nceScratch) }},
		{"infonce without workers", "0 workers", func() { NewInfoNCE(InfoNCEShape{N: 1, D: 1}, 0) }},
		{"global-local cells", "local: got 11 elements, want 12", func() {
			NewGlobalLocal(GlobalLocalShape{N: 2, Q: 3, D: 2}, 1).Bind(&GlobalLocalArgs{Global: Alloc(4), Local: Alloc(11), DGlobal: Alloc(4), DLocal: Alloc(12)}, nil)
		}},
		{"global-local of nothing", "want all positive", func() { NewGlobalLocal(GlobalLocalShape{}, 1) }},
		{"max pool padding", "pad <= kernel/2", func() { s := pool; s.Pad = 2; s.Forward(nil, nil, nil) }},
		{"max pool places", "arg: got 0 elements, want 16", func() { pool.Forward(Alloc(16), Alloc(64), nil) }},
		{"average pool", "x: got 0 elements, want 64", func() { AvgPoolShape{N: 1, HW: 4, C: 16}.Forward(Alloc(16), nil) }},
		{"average pool of a window too large", "a window inside the image", func() {
			AvgWindowShape{N: 1, H: 2, W: 2, C: 16, Kernel: 3, Stride: 1}.Forward(Alloc(64), Alloc(64))
		}},
		{"pixel map out of the image", "a map into the image", func() {
			PixelMapShape{N: 1, H: 2, W: 2, C: 4, Rows: []int{2}, Cols: []int{0}}.Forward(Alloc(4), Alloc(16))
		}},
		{"patch larger than the image", "a patch inside the image", func() {
			PatchesShape{N: 1, H: 2, W: 3, C: 4, Size: 3, Stride: 1}.Forward(Alloc(36), Alloc(24))
		}},
		{"concat", "b: got 0 elements, want 32", func() { ConcatShape{2, 3, 5}.Forward(Alloc(32), Alloc(8), nil) }},
		{"twice of a map that is to grow", "unless it is one pixel", func() { TwiceShape{1, 2, 2, 3, 4, 4, false}.Forward(nil, nil) }},
		{"channel map", "source: got 0 elements, want 32", func() { ChannelMapShape{Rows: 2, In: 5, Out: 20}.Forward(Alloc(64), nil) }},
		{"sigmoid", "y: got 0 elements, want 32", func() { SigmoidShape{Rows: 2, C: 5}.Forward(nil, Alloc(32)) }},
		{"bias", "bias: got 0 elements, want 5", func() { BiasShape{Rows: 1, C: 5}.Forward(Alloc(16), Alloc(16), nil, true, Alloc(48)) }},
		{"l2 norm", "inv: got 0 elements, want 2", func() { L2NormShape{N: 2, D: 3}.Forward(Alloc(6), Alloc(8), nil) }},
		{"add", "x: got 1 elements, want 2", func() { Add(Alloc(2), Alloc(1)) }},
		{"sgd", "buf: got 1 elements, want 2", func() { SGD(Alloc(2), Alloc(2), Alloc(1), &SGDArgs{}) }},
		{"adam", "v: got 1 elements, want 2", func() { Adam(Alloc(2), Alloc(2), Alloc(2), Alloc(1), &AdamArgs{}) }},
		{"lars", "g: got 1 elements, want 2", func() { LARS(Alloc(2), Alloc(1), Alloc(2), nil, &LARSArgs{}) }},
		{"lars of other tensors", "got elements 1 to 3, want them in 2", func() {
			LARS(Alloc(2), Alloc(2), Alloc(2), []LARSTensor{{From: 1, Len: 2}}, &LARSArgs{})
		}},
		{"ema", "q: got 1 elements, want 2", func() { m := float32(1); EMA(Alloc(2), Alloc(1), &m) }},
		{"triad", "want 2", func() { Triad(Alloc(2), Alloc(2), Alloc(1), 1) }},
		{"pixels", "y: got 3 elements, want 4", func() { Normalize(Alloc(3), &PixelsArgs{}, 1, 1, 1, [3]float32{}, [3]float32{1, 1, 1}) }},
		{"pixels of another batch", "got 6 bytes, want 3", func() {
			phases := Normalize(Alloc(4), &PixelsArgs{Src: make([]byte, 6)}, 1, 1, 1, [3]float32{}, [3]float32{1, 1, 1})
			phases[0].Run(0, 0)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			defer func() {
				if message, ok := recover().(string); !ok || !strings.Contains(message, c.message) || !strings.HasPrefix(message, "kernel: ") {
					t.Errorf("got panic %q, want one with %q", message, c.message)
				}
			}()
			c.bind()
		})
	}
}

func TestLayersAllocateNothing(t *testing.T) {
	pool := par.NewPool(2)
	defer pool.Close()
	mp := MaxPoolShape{N: 2, H: 8, W: 8, C: 16, Kernel: 3, Stride: 2, Pad: 1}
	image, pooled, arg := Alloc(ActLen(2, 8, 8, 16)), Alloc(ActLen(2, 4, 4, 16)), make([]uint8, ActLen(2, 4, 4, 16))
	avg := AvgPoolShape{N: 2, HW: 64, C: 16}
	bias := BiasShape{Rows: 128, C: 16}
	scratch := Alloc(bias.ScratchLen())
	norm := L2NormShape{N: 2, D: 16}
	src := &PixelsArgs{Src: make([]byte, 2*8*8*3)}
	for _, c := range []struct {
		name   string
		phases []par.Phase
	}{ // backward passes read what the forward passes left
		{"max pool", mp.Forward(pooled, image, arg)},
		{"max pool backward", mp.Backward(image, pooled, arg, true)},
		{"avg pool", avg.Forward(pooled, image)},
		{"avg pool backward", avg.Backward(image, pooled, true)},
		{"bias", bias.Forward(image, image, Alloc(16), true, scratch)},
		{"bias backward", bias.Backward(Alloc(16), image, scratch)},
		{"l2 norm", norm.Forward(Alloc(32), image, Alloc(2))},
		{"l2 norm backward", norm.Backward(Alloc(32), Alloc(32), Alloc(32), Alloc(2))},
		{"pixels", Normalize(image, src, 2, 8, 8, [3]float32{}, [3]float32{1, 1, 1})},
	} {
		if n := testing.AllocsPerRun(3, func() { runPhases(pool, c.phases) }); n != 0 {
			t.Errorf("%s allocates %v times a run, want 0", c.name, n)
		}
	}
}
