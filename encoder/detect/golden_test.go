package detect

import (
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"clpipe/batch"
	"clpipe/encoder"
	"clpipe/internal/goldentest"
)

// What testdata/detector.py says, in float64.
type golden struct {
	Maps struct {
		Parts     [3]float64
		Heat      []float64
		Gradients [3][]float64
		Peaks     [][][6]float64 // by view: class, score, box
	}
	Learning, Frozen run
}

type run struct {
	Losses []float64
	Moved  map[string]float64
	After  [3][]float64
}

func loadGolden(t *testing.T) *golden {
	t.Helper()
	g := &golden{}
	goldentest.Read(t, "testdata/detector.json", g)
	return g
}

const goldenClasses = 3

// hashedTruths returns the boxes that the script draws.
func hashedTruths(seed, count int, size float64) []Truth {
	var out []Truth
	u := goldentest.Hashed(seed, 5*count)
	for i := range count {
		u := u[5*i:]
		w, h := 2+u[2]*size*0.6, 2+u[3]*size*0.6
		x, y := u[0]*(size-w), u[1]*(size-h)
		out = append(out, Truth{Class: int(u[4] * goldenClasses), Box: Box{x, y, x + w, y + h}})
	}
	if count > 1 {
		a, b := out[0].Box, &out[1].Box
		for k := range 2 {
			centre, half := (a[k]+a[k+2])/2, (b[k+2]-b[k])/2
			b[k], b[k+2] = centre-half, centre+half
		}
	}
	return out
}

// The targets, the loss and its gradients, and the peaks are PyTorch's: within what
// float32 leaves of a gradient, and to 1e-12 where all is float64.
func TestMapsMatchPyTorch(t *testing.T) {
	want := loadGolden(t).Maps
	const views, side, stride = 2, 6, 8
	g := gridOf(encoder.Shape{Per: 1, H: side, W: side}, side*stride, stride)
	rows := func(seed, c int) encoder.Rows {
		r := encoder.Rows{N: views * side * side, D: c, Stride: 16, Data: make([]float32, views*side*side*16)}
		for i, u := range goldentest.Hashed(seed, r.N*c) {
			if seed > 0 {
				r.Row(i / c)[i%c] = float32((u - 0.5) * 6)
			}
		}
		return r
	}
	out := &outputs{rows(1, goldenClasses), rows(2, 2), rows(3, 2)}
	grad := &outputs{rows(0, goldenClasses), rows(0, 2), rows(0, 2)}
	truths := [][]Truth{hashedTruths(4, 5, side*stride), nil}
	heat := make([]float64, side*side*goldenClasses)
	var p parts
	for n, view := range truths {
		targets := g.targets(nil, view)
		g.heat(heat, targets, goldenClasses)
		if n == 0 {
			for i, w := range want.Heat {
				if math.Abs(heat[i]-w) > 1e-7 { // beyond six deviations it is taken for 0
					t.Fatalf("heat %d is %v, want %v", i, heat[i], w)
				}
			}
		}
		of := g.loss(out, grad, n, goldenClasses, heat, targets, 1./5)
		p.heat, p.size, p.offset = p.heat+of.heat, p.size+of.size, p.offset+of.offset
	}
	for i, got := range []float64{p.heat, p.size, p.offset} {
		if w := want.Parts[i]; math.Abs(got-w) > 1e-6*w {
			t.Errorf("part %d of the loss is %v, want %v", i, got, w)
		}
	}
	for k, r := range []encoder.Rows{grad.heat, grad.size, grad.offset} {
		for i, w := range want.Gradients[k] {
			if got := float64(r.Row(i / r.D)[i%r.D]); math.Abs(got-w) > 1e-6*max(1, math.Abs(w)) {
				t.Fatalf("gradient %d of map %d is %v, want %v", i, k, got, w)
			}
		}
	}
	for n, peaks := range want.Peaks {
		found := g.decode(out, n, goldenClasses)
		if len(found) != len(peaks) {
			t.Fatalf("view %d: %d objects, want %d", n, len(found), len(peaks))
		}
		for i, w := range peaks {
			f := found[i]
			for k, got := range [6]float64{float64(f.Class), f.Score, f.Box[0], f.Box[1], f.Box[2], f.Box[3]} {
				if math.Abs(got-w[k]) > 1e-5 {
					t.Fatalf("view %d: object %d is %v, want %v", n, i, f, w)
				}
			}
		}
	}
}

// Five steps beside PyTorch's in float64, the trunk learning and frozen: losses to
// 3e-4 of theirs, what every tensor moved to 2 %, what is found after them to 1 % of
// the largest value. Adam divides by the size of a gradient and L1 has only a sign, so
// that where either is near zero rounding shows; the gradients themselves are held to
// 1e-6 above.
func TestTrainingMatchesPyTorch(t *testing.T) {
	const seed, side, n, steps, width = 6, 32, 4, 5, 0.0625
	g := loadGolden(t)
	for name, c := range map[string]struct {
		frozen bool
		want   run
	}{"learning": {false, g.Learning}, "frozen": {true, g.Frozen}} {
		t.Run(name, func(t *testing.T) {
			net := encoder.ResNet(encoder.ResNetConfig{Depth: 18, CIFAR: true, Size: 64, Width: width, Normalize: encoder.Normalize{Std: [3]float32{1, 1, 1}}})
			var losses []float64
			d, err := New(net, encoder.NewParams(net, 1), Config{
				Classes: goldenClasses, Size: side, Stride: 16, Frozen: c.frozen, Batch: n, Steps: steps, LR: 0.001, Workers: 2,
				Progress: func(p Progress) { losses = append(losses, p.Loss) },
			})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			all := []*encoder.Params{d.Head}
			if c.frozen {
				all = append(all, d.Trunk)
			}
			before := hashedWeights(t, seed, all)
			d.begin()
			for step := range steps {
				for i, u := range goldentest.Hashed(seed*100+step, len(d.run.pixels)) {
					d.run.pixels[i] = byte(u * 255)
				}
				for i := range n {
					d.run.truths[i] = hashedTruths(seed*1000+step*n+i, 1+i, side)
				}
				if err := d.learn(); err != nil {
					t.Fatal(err)
				}
			}
			for i, want := range c.want.Losses {
				if math.Abs(losses[i]-want) > 3e-4*want {
					t.Errorf("loss %d is %v, want %v", i, losses[i], want)
				}
			}
			for _, p := range all {
				after := p.State()
				for name, want := range c.want.Moved {
					if after.Tensors[name] == nil {
						continue
					}
					is, _ := batch.Values[float32](after.Tensors[name])
					sum := 0.0
					for i, was := range before[name] {
						sum += float64(is[i]-was) * float64(is[i]-was)
					}
					if got := math.Sqrt(sum); !(math.Abs(got-want) <= 0.02*want) {
						t.Errorf("%s moved %v, want %v", name, got, want)
					}
				}
			}
			plan, err := d.compile(d.graph, encoder.Eval)
			if err != nil {
				t.Fatal(err)
			}
			pixels := make([]byte, n*side*side*3)
			for i, u := range goldentest.Hashed(seed*100, len(pixels)) {
				pixels[i] = byte(u * 255)
			}
			found := d.bind(plan)
			found.forward(pixels)
			for k, r := range []encoder.Rows{found.out.heat, found.out.size, found.out.offset} {
				largest := slices.MaxFunc(c.want.After[k], func(a, b float64) int { return int(math.Copysign(1, math.Abs(a)-math.Abs(b))) })
				for i, want := range c.want.After[k] {
					if got := float64(r.Row(i / r.D)[i%r.D]); math.Abs(got-want) > 0.01*math.Abs(largest) {
						t.Fatalf("value %d of map %d is %v, want %v", i, k, got, want)
					}
				}
			}
		})
	}
}

// hashedWeights sets the parameters, which together are the network's, as the script
// does, and returns them by name.
func hashedWeights(t *testing.T, seed int, all []*encoder.Params) map[string][]float32 {
	t.Helper()
	values := map[string][]float32{}
	dims := map[string]int{}
	states := make([]batch.State, len(all))
	for i, p := range all {
		states[i] = p.State()
		for name, tensor := range states[i].Tensors {
			if strings.Contains(name, "running") || strings.HasSuffix(name, "num_batches_tracked") {
				continue
			}
			values[name], _ = batch.Values[float32](tensor)
			if dims[name] = 0; tensor.Dims() > 1 {
				dims[name] = tensor.Shape()[0]
			}
		}
	}
	for place, name := range slices.Sorted(maps.Keys(values)) {
		scale, shift := 0.1, 0.0
		if dims[name] > 0 {
			scale = math.Sqrt(6 / (float64(len(values[name])) / float64(dims[name])))
		} else if strings.HasSuffix(name, "weight") {
			scale, shift = 0.2, 1
		}
		for i, u := range goldentest.Hashed(seed+place, len(values[name])) {
			values[name][i] = float32(shift + float64(scale*(u*2-1)))
		}
	}
	for i, p := range all {
		if err := p.Load(states[i]); err != nil {
			t.Fatal(err)
		}
	}
	return values
}
