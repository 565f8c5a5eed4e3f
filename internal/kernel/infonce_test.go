package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"clpipe/internal/par"
)

func TestExpSum(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		const width, rows = 32, 97
		r := rand.New(rand.NewPCG(3, 4))
		scores, stats := newGuarded(rows*width), newGuarded(5*width)
		s := scores.buf
		for i := range s {
			s[i] = float32(r.Float64()*184 - 104) // up to 80: the sums stay finite
		}
		inf, nan := float32(math.Inf(1)), float32(math.NaN())
		for i, v := range []float32{0, -inf, -87.31, -87.29, 1e-30, -1e-3, 88.3, 88.29, -103, inf, nan} {
			s[i*width] = v
		}
		in := slices.Clone(s)
		for q := range width {
			stats.buf[q] = 20
		}
		active.expSum(s, stats.buf, width, 1)
		scores.check(t, "scores")
		stats.check(t, "stats")
		worst := 0.0
		for i, x := range in {
			want := math.Exp(float64(min(x, expMax)))
			if x < expZero {
				want = 0
			}
			got := float64(s[i])
			if want == 0 || want != want {
				if got != want && got == got {
					t.Errorf("exp(%g): got %g, want %g", x, got, want)
				}
				continue
			}
			ulp := math.Ldexp(1, int(math.Floor(math.Log2(want)))-23)
			worst = max(worst, math.Abs(got-want)/ulp)
		}
		t.Logf("exp is off by %.3f units in the last place at most", worst)
		if !(worst <= 2) {
			t.Errorf("exp is off by %g units in the last place, want at most 2", worst)
		}
		for q := 1; q < width; q++ { // column 0 holds the special values
			var sum, weighted, above float64
			for i := range rows {
				x, e := max(float64(in[i*width+q]), expMin), float64(s[i*width+q])
				sum += e
				weighted += x * e
				if in[i*width+q] > 20 {
					above++
				}
			}
			for i, want := range []float64{sum, weighted, above} {
				if got := float64(stats.buf[(2+i)*width+q]); math.Abs(got-want) > 1e-5*math.Abs(want) {
					t.Errorf("column %d, sum %d: got %g, want %g", q, i, got, want)
				}
			}
		}
		if got := stats.buf[2*width]; got == got {
			t.Errorf("the sum over a column with a NaN is %v, want NaN", got)
		}
	})
}

// contrast is where the positives of a case come from.
type contrast string

const (
	queueContrast contrast = "queue" // a positive of its own for every query
	batchContrast contrast = "batch" // rows are queries and keys: NT-Xent
	otherContrast contrast = "other" // key i is the positive of query i, rows of any length: CPC
)

// infoNCECase is a loss with its inputs.
type infoNCECase struct {
	shape       InfoNCEShape
	valid       int
	temperature float32
	ids         bool
	near        float64 // how close a positive is to its query
	contrast    contrast

	infoNCEInput
}

func (c *infoNCECase) name() string {
	return fmt.Sprintf("%s/n=%d,d=%d,k=%d,valid=%d,tau=%g,ids=%t", c.contrast, c.shape.N, c.shape.D, c.shape.K, c.valid, c.temperature, c.ids)
}

func unitRows(r *rand.Rand, n, d int) []float64 {
	v := randoms(r, n*d)
	for i := range n {
		unit(v[i*d : (i+1)*d])
	}
	return v
}

func unit(row []float64) {
	var sum float64
	for _, v := range row {
		sum += v * v
	}
	for i := range row {
		row[i] = float64(float32(row[i] / math.Sqrt(sum)))
	}
}

// near mixes rows of a and b, the part of a given.
func near(part float64, a, b []float64) []float64 {
	out := make([]float64, len(b))
	for i := range out {
		out[i] = float64(float32(part*a[i] + (1-part)*b[i]))
	}
	return out
}

func (c *infoNCECase) draw() {
	s := c.shape
	if c.contrast == "" {
		c.contrast = queueContrast
	}
	r := rand.New(rand.NewPCG(5, uint64(s.N*s.K+s.D)))
	c.infoNCEInput = infoNCEInput{n: s.N, d: s.D, query: unitRows(r, s.N, s.D), temperature: float64(c.temperature), gradScale: float64(1 / float32(s.N))}
	switch c.contrast {
	case queueContrast:
		c.keys = unitRows(r, s.K, s.D)
		c.positive = near(c.near, c.query, unitRows(r, s.N, s.D))
		for i := range s.N {
			unit(c.positive[i*s.D : (i+1)*s.D])
		}
	case batchContrast:
		half := s.N / 2
		copy(c.query[half*s.D:], near(c.near, c.query, c.query[half*s.D:]))
		for i := range s.N {
			unit(c.query[i*s.D : (i+1)*s.D])
			c.positiveRow = append(c.positiveRow, int32((i+half)%s.N))
			c.selfRow = append(c.selfRow, int32(i))
		}
		c.keys = c.query
	case otherContrast:
		c.query = randoms(r, s.N*s.D)
		c.keys = randoms(r, s.K*s.D)
		copy(c.keys, near(c.near, c.query, c.keys[:s.N*s.D]))
		for i := range s.N {
			c.positiveRow = append(c.positiveRow, int32(i))
		}
	}
	if c.ids {
		c.queryIDs, c.keyIDs = make([]uint64, s.N), make([]uint64, s.K)
		for i := range c.queryIDs {
			c.queryIDs[i] = uint64(r.IntN(s.N)) // some 0, some shared
		}
		for j := range c.keyIDs {
			c.keyIDs[j] = uint64(r.IntN(2 * s.N))
		}
	}
}

func (c *infoNCECase) run(t *testing.T, workers int) *InfoNCEArgs {
	t.Helper()
	s := c.shape
	pool := par.NewPool(workers)
	defer pool.Close()
	keys := narrowed(c.keys)
	for i := c.valid * s.D; i < len(keys); i++ {
		keys[i] = float32(math.NaN()) // rows that do not count
	}
	dq, dk, loss := newGuarded(s.N*s.D), newGuarded(s.K*s.D), newGuarded(s.N)
	fill(dk.buf, 7)
	a := &InfoNCEArgs{
		Query: narrowed(c.query), Keys: keys, Valid: c.valid, PositiveRow: c.positiveRow, SelfRow: c.selfRow,
		QueryIDs: c.queryIDs, KeyIDs: c.keyIDs, AnyLength: c.contrast == otherContrast,
		Temperature: c.temperature, GradScale: float32(c.gradScale),
		Score: Alloc(s.N), Loss: loss.buf, Entropy: Alloc(s.N), Above: make([]int32, s.N), Masked: make([]int32, s.N),
		DQuery: dq.buf, DKeys: dk.buf,
	}
	if c.positive != nil {
		a.Positive = narrowed(c.positive)
	}
	x := NewInfoNCE(s, workers)
	scratch := newGuarded(x.ScratchLen())
	fill(scratch.buf, float32(math.NaN()))
	phases := x.Bind(a, scratch.buf)
	runPhases(pool, phases)
	runPhases(pool, phases) // what a run leaves behind must not matter
	dq.check(t, "dquery")
	dk.check(t, "dkeys")
	loss.check(t, "loss")
	scratch.check(t, "scratch")
	return a
}

func (c *infoNCECase) check(t *testing.T, got *InfoNCEArgs) {
	t.Helper()
	s := c.shape
	in := c.infoNCEInput
	in.keys = c.keys[:c.valid*s.D]
	want := infoNCERef(in)
	// A score is off by the rounding of its dot product, over τ; the products
	// of rows of any length are about D times as large.
	off := 4e-7 / float64(c.temperature)
	length := 1.0
	if c.contrast == otherContrast {
		length = math.Sqrt(float64(s.D))
		off *= float64(s.D)
	}
	for i := range s.N {
		score, positive := 0.0, c.positive
		at := i * s.D
		if positive == nil {
			positive, at = c.keys, int(c.positiveRow[i])*s.D
		}
		for j, k := range positive[at : at+s.D] {
			score += c.query[i*s.D+j] * k
		}
		score /= float64(c.temperature)
		if e := math.Abs(float64(got.Score[i]) - score); !(e <= off+1e-6*math.Abs(score)) {
			t.Errorf("query %d: score: got %v, want %v", i, got.Score[i], score)
		}
		if e := math.Abs(float64(got.Loss[i]) - want.loss[i]); !(e <= off+1e-6*want.loss[i]) {
			t.Errorf("query %d: loss: got %v, want %v", i, got.Loss[i], want.loss[i])
		}
		if e := math.Abs(float64(got.Entropy[i]) - want.entropy[i]); !(e <= 20*off+1e-6*want.entropy[i]) {
			t.Errorf("query %d: entropy: got %v, want %v", i, got.Entropy[i], want.entropy[i])
		}
	}
	if !slices.Equal(got.Masked, want.masked) {
		t.Errorf("masked: got %d, want %d", got.Masked, want.masked)
	}
	if !slices.Equal(got.Above, want.above) {
		t.Errorf("above: got %d, want %d", got.Above, want.above)
	}
	// Relative to the largest gradient that a query or a positive can have.
	scale := 2 * length * c.gradScale / float64(c.temperature)
	for _, grad := range []struct {
		name string
		got  []float32
		want []float64
	}{{"dquery", got.DQuery, want.dq}, {"dkeys", got.DKeys, append(want.dk, make([]float64, s.K*s.D-len(want.dk))...)}} {
		for i, v := range grad.got {
			if e := math.Abs(float64(v)-grad.want[i]) / scale; !(e <= 1e-6+off) {
				t.Errorf("%s %d of row %d: got %v, want %v", grad.name, i%s.D, i/s.D, v, grad.want[i])
				break
			}
		}
	}
}

func infoNCECases() []*infoNCECase {
	var cases []*infoNCECase
	for _, s := range []InfoNCEShape{
		{1, 3, 0}, {1, 1, 1}, {5, 16, 7}, {3, 19, 97}, {32, 64, 96}, {33, 128, 500}, {70, 5, 193}, {260, 17, 200}, {7, 32, 3300},
	} {
		for _, temperature := range []float32{0.2, 0.025, 0.02, 0.001} {
			for _, ids := range []bool{false, true} {
				cases = append(cases, &infoNCECase{shape: s, valid: s.K, temperature: temperature, ids: ids, near: 0.6})
			}
		}
		cases = append(cases,
			&infoNCECase{shape: s, valid: 0, temperature: 0.1},
			&infoNCECase{shape: s, valid: s.K / 2, temperature: 0.1, ids: true, near: 1},
			&infoNCECase{shape: s, valid: s.K / 3, temperature: 0.01, ids: true},
		)
	}
	for _, n := range []int{2, 34, 130} {
		for _, d := range []int{3, 64} {
			for _, temperature := range []float32{0.5, 0.02} {
				s := InfoNCEShape{n, d, n}
				cases = append(cases, &infoNCECase{shape: s, valid: n, temperature: temperature, near: 0.6, contrast: batchContrast})
				s.K = n + n/3
				cases = append(cases, &infoNCECase{shape: s, valid: s.K, temperature: 50 * temperature, near: 0.4, contrast: otherContrast, ids: d == 64})
			}
		}
	}
	for _, c := range cases {
		c.draw()
	}
	return cases
}

func TestInfoNCEAgainstReference(t *testing.T) {
	cases := infoNCECases()
	eachVariant(t, func(t *testing.T) {
		for _, c := range cases {
			t.Run(c.name(), func(t *testing.T) { c.check(t, c.run(t, 2)) })
		}
	})
}

func TestInfoNCEBitsDoNotDependOnWorkers(t *testing.T) {
	cases := infoNCECases()
	eachVariant(t, func(t *testing.T) {
		for _, c := range cases {
			if c.temperature == 0.025 || c.temperature == 0.001 {
				continue // as 0.2 and 0.02
			}
			one := c.run(t, 1)
			for _, workers := range []int{2, 5} {
				got := c.run(t, workers)
				if !slices.Equal(one.Loss, got.Loss) || !slices.Equal(one.Entropy, got.Entropy) ||
					!slices.Equal(one.DQuery, got.DQuery) || !slices.Equal(one.DKeys, got.DKeys) {
					t.Errorf("%s: %d workers differ from one", c.name(), workers)
				}
			}
		}
	})
}

// Without a negative, be it that the queue is empty or that every key is
// masked, there is nothing to tell apart.
func TestInfoNCEWithoutNegatives(t *testing.T) {
	for _, temperature := range []float32{0.1, 0.001} {
		c := &infoNCECase{shape: InfoNCEShape{N: 4, D: 8, K: 200}, valid: 200, temperature: temperature, near: 0.5}
		c.draw()
		c.queryIDs, c.keyIDs = []uint64{9, 9, 9, 9}, slices.Repeat([]uint64{9}, 200)
		for _, valid := range []int{0, 200} {
			c.valid = valid
			got := c.run(t, 2)
			for i := range c.shape.N {
				if got.Loss[i] != 0 || got.Entropy[i] != 0 || got.Above[i] != 0 || int(got.Masked[i]) != valid {
					t.Errorf("tau=%g, valid=%d, query %d: got loss %v, entropy %v, %d above, %d masked, want 0, 0, 0, %d",
						temperature, valid, i, got.Loss[i], got.Entropy[i], got.Above[i], got.Masked[i], valid)
				}
			}
			for i, v := range got.DQuery {
				if v != 0 {
					t.Fatalf("tau=%g, valid=%d: gradient %d is %v, want 0", temperature, valid, i, v)
				}
			}
		}
	}
}

// A key equal to the positive scores what the positive scores, not above it.
func TestInfoNCETieIsNotAbove(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		c := &infoNCECase{shape: InfoNCEShape{N: 40, D: 128, K: 400}, valid: 400, temperature: 0.1, near: 0.9}
		c.draw()
		for j := range c.shape.K {
			copy(c.keys[j*128:(j+1)*128], c.positive[j%40*128:])
		}
		for i, above := range c.run(t, 2).Above {
			if above != 0 {
				t.Errorf("query %d: %d of keys equal to positives score above its own", i, above)
			}
		}
	})
}

// Moving a row changes the loss as its gradients say: all it takes part in, as
// query, as negative and as positive.
func TestInfoNCEGradientByFiniteDifferences(t *testing.T) {
	c := &infoNCECase{shape: InfoNCEShape{N: 6, D: 5, K: 6}, valid: 6, temperature: 0.5, near: 0.5, contrast: batchContrast}
	c.draw()
	got := c.run(t, 1)
	total := func() (sum float64) {
		for _, l := range infoNCERef(c.infoNCEInput).loss {
			sum += l / float64(c.shape.N)
		}
		return sum
	}
	const h = 1e-5
	for i := range c.query { // the keys, too
		was := c.query[i]
		c.query[i] = was + h
		up := total()
		c.query[i] = was - h
		down := total()
		c.query[i] = was
		if got, want := float64(got.DQuery[i]+got.DKeys[i]), (up-down)/(2*h); math.Abs(got-want) > 1e-6 {
			t.Errorf("gradient %d: got %v, finite difference %v", i, got, want)
		}
	}
}

func TestInfoNCEKeepsNaN(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		for _, temperature := range []float32{0.1, 0.001} {
			c := &infoNCECase{shape: InfoNCEShape{N: 2, D: 16, K: 20}, valid: 20, temperature: temperature}
			c.draw()
			c.query[0] = math.NaN()
			got := c.run(t, 1)
			if got.Loss[0] == got.Loss[0] || got.DQuery[0] == got.DQuery[0] || got.Loss[1] != got.Loss[1] {
				t.Errorf("tau=%g: got losses %v, want NaN for the first only", temperature, got.Loss)
			}
		}
	})
}

func TestInfoNCEAllocatesNothing(t *testing.T) {
	s := InfoNCEShape{N: 20, D: 16, K: 300}
	pool := par.NewPool(2)
	defer pool.Close()
	x := NewInfoNCE(s, 2)
	a := &InfoNCEArgs{
		Query: Alloc(s.N * s.D), Positive: Alloc(s.N * s.D), Keys: Alloc(s.K * s.D), Valid: s.K,
		QueryIDs: make([]uint64, s.N), KeyIDs: make([]uint64, s.K), Temperature: 0.1, GradScale: 1,
		Loss: Alloc(s.N), Entropy: Alloc(s.N), Above: make([]int32, s.N), Masked: make([]int32, s.N), DQuery: Alloc(s.N * s.D),
	}
	phases := x.Bind(a, Alloc(x.ScratchLen()))
	if n := testing.AllocsPerRun(10, func() { runPhases(pool, phases) }); n != 0 {
		t.Errorf("a run allocates %v times, want 0", n)
	}
}
