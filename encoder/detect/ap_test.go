package detect

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// near reports whether two scores are equal but for the order in which sums were
// added up: up to 15 terms of at most 1 each.
func near(got, want float64) bool {
	return math.IsNaN(got) && math.IsNaN(want) || math.Abs(got-want) <= 1e-14
}

func TestEvaluateMatchesChainerCV(t *testing.T) {
	type score struct {
		AP, AP50, AP75 float64
		Class          []*float64 // nil: NaN
	}
	var scenes []struct {
		Name        string
		Classes     int
		Truths      [][]Truth
		Detections  [][]Detection
		VOC07, Area score
	}
	text, err := os.ReadFile(filepath.Join("testdata", "ap.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &scenes); err != nil {
		t.Fatal(err)
	}
	for _, s := range scenes {
		for m, want := range map[Metric]score{VOC07: s.VOC07, Area: s.Area} {
			got := Evaluate(s.Truths, s.Detections, s.Classes, m)
			if !near(got.AP, want.AP) || !near(got.AP50, want.AP50) || !near(got.AP75, want.AP75) {
				t.Errorf("%s, metric %d: got %+v, want %+v", s.Name, m, got, want)
			}
			for class, want := range want.Class {
				w := math.NaN()
				if want != nil {
					w = *want
				}
				if !near(got.Class[class], w) {
					t.Errorf("%s, metric %d: class %d: got %v, want %v", s.Name, m, class, got.Class[class], w)
				}
			}
		}
	}
	if len(scenes) == 0 {
		t.Error("no scenes")
	}
}

// The truth of the tables below: a box of 10x10.
var square = Box{10, 10, 20, 20}

// half has an IoU of exactly 1/2 with square.
var half = Box{10, 10, 20, 15}

// elsewhere meets no truth.
var elsewhere = Box{50, 50, 60, 60}

func TestRules(t *testing.T) {
	nan := math.NaN()
	found := Detection{Score: 0.5, Box: square}
	scored := func(score float64, b Box) Detection { return Detection{Score: score, Box: b} }
	for name, c := range map[string]struct {
		truths     [][]Truth
		detections [][]Detection
		want       float64 // the area at IoU 0.5
	}{
		"found":                 {[][]Truth{{{Box: square}}}, [][]Detection{{found}}, 1},
		"nothing found":         {[][]Truth{{{Box: square}}}, [][]Detection{{}}, 0},
		"an IoU of exactly 0.5": {[][]Truth{{{Box: square}}}, [][]Detection{{scored(1, half)}}, 0},
		"an IoU just above 0.5": {[][]Truth{{{Box: square}}}, [][]Detection{{scored(1, Box{10, 10, 20, 15.001})}}, 1},
		"another class":         {[][]Truth{{{Box: square}}}, [][]Detection{{{Class: 1, Score: 1, Box: square}}}, 0},
		"another image":         {[][]Truth{{{Box: square}}, {}}, [][]Detection{{}, {found}}, 0},
		"wrong first":           {[][]Truth{{{Box: square}}}, [][]Detection{{found, scored(0.6, elsewhere)}}, 0.5},
		"wrong last":            {[][]Truth{{{Box: square}}}, [][]Detection{{found, scored(0.4, elsewhere)}}, 1},
		"again before the last": {[][]Truth{{{Box: square}, {Box: elsewhere}}}, [][]Detection{{found, found, scored(0.4, elsewhere)}}, 0.5 + 0.5*2/3},
		// The third, though it also overlaps the second truth by more than half,
		// belongs to the first.
		"the nearest is taken": {[][]Truth{{{Box: square}, {Box: Box{10, 10, 20, 17}}}}, [][]Detection{{found, scored(0.4, Box{10, 10, 20, 19.9})}}, 0.5},
		"the first of equals":  {[][]Truth{{{Box: square, Difficult: true}, {Box: square}}}, [][]Detection{{found}}, 0},
		"difficult is nothing": {[][]Truth{{{Box: square}, {Box: elsewhere, Difficult: true}}}, [][]Detection{{scored(0.9, elsewhere), scored(0.8, elsewhere), found}}, 1},
		"only difficult":       {[][]Truth{{{Box: square, Difficult: true}}}, [][]Detection{{found}}, nan},
		"no truth":             {[][]Truth{{}}, [][]Detection{{found}}, nan},
		"no image":             {nil, nil, nan},
		"equal scores":         {[][]Truth{{{Box: square}}, {}}, [][]Detection{{found, scored(0.5, elsewhere)}, {scored(0.5, elsewhere)}}, 1},
		"equal scores, later":  {[][]Truth{{}, {{Box: square}}}, [][]Detection{{scored(0.5, elsewhere)}, {scored(0.5, elsewhere), found}}, 1. / 3},
		"NaN is last":          {[][]Truth{{{Box: square}}}, [][]Detection{{scored(nan, elsewhere), scored(math.Inf(-1), square)}}, 1},
		"infinity is first":    {[][]Truth{{{Box: square}}}, [][]Detection{{found, scored(math.Inf(1), elsewhere)}}, 0.5},
		"boxes of no number":   {[][]Truth{{{Box: square}}}, [][]Detection{{scored(1, Box{nan, 10, 20, 20}), scored(2, Box{10, 10, math.Inf(1), 20}), found}}, 1. / 3},
	} {
		s := Evaluate(c.truths, c.detections, 2, Area)
		if !near(s.Class[0], c.want) || !math.IsNaN(s.Class[1]) || !near(s.AP50, c.want) {
			t.Errorf("%s: got %+v, want %v at 0.5 for class 0 and for all", name, s, c.want)
		}
	}
}

// Detections of equal score stay in order however many there are.
func TestManyEqualScores(t *testing.T) {
	const images, at = 60, 19
	truths, detections := make([][]Truth, images), make([][]Detection, images)
	truths[at] = []Truth{{Box: square}}
	for i := range detections {
		detections[i] = []Detection{{Score: float64(i % 2), Box: square}}
	}
	if got, want := Evaluate(truths, detections, 1, Area).AP50, 1./((at+1)/2); !near(got, want) {
		t.Errorf("got %v, want %v: the images with score 1 begin with the second", got, want)
	}
}

// Of two objects one is found first: precision 1 up to a recall of 1/2, then 2/3,
// behind a wrong one. The six recalls up to 0.5 count 1, the five beyond 2/3.
func TestVOC07LooksAtElevenRecalls(t *testing.T) {
	truths := [][]Truth{{{Box: square}, {Box: elsewhere}}}
	detections := [][]Detection{{{Score: 3, Box: square}, {Score: 2, Box: square}, {Score: 1, Box: elsewhere}}}
	if got, want := Evaluate(truths, detections, 1, VOC07).AP50, (6+5*2./3)/11; !near(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// The mean over the thresholds: a detection with an IoU of 0.72 is right at 0.5,
// 0.55 … 0.7, five of ten.
func TestMeanOverThresholds(t *testing.T) {
	got := Evaluate([][]Truth{{{Box: square}}}, [][]Detection{{{Box: Box{10, 10, 20, 17.2}}}}, 1, Area)
	if !near(got.AP, 0.5) || got.AP50 != 1 || got.AP75 != 0 {
		t.Errorf("got %+v, want 0.5, 1 at 0.5 and 0 at 0.75", got)
	}
}

func drawBox(r *rand.Rand) Box {
	x, y := 80*r.Float64(), 80*r.Float64()
	return Box{x, y, x + 1 + 19*r.Float64(), y + 1 + 19*r.Float64()}
}

func TestIoU(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		a, b := drawBox(r), drawBox(r)
		ab, ba := a.IoU(b), b.IoU(a)
		if ab != ba || ab < 0 || ab > 1 || math.Abs(a.IoU(a)-1) > 1e-15 {
			t.Fatalf("%v, %v: IoU %v and %v, of the first with itself %v", a, b, ab, ba, a.IoU(a))
		}
	}
	for _, c := range []struct {
		a, b Box
		want float64
	}{
		{square, half, 0.5},
		{square, Box{15, 15, 25, 25}, 25. / 175},
		{square, Box{20, 10, 30, 20}, 0},                          // side by side
		{square, Box{20, 20, 10, 10}, 0},                          // the wrong way round
		{square, Box{15, 15, 15, 15}, 0},                          // without area
		{Box{0, 0, 1e300, 1e300}, Box{0, 0, 1e300, 1e300}, 0},     // an area that is no number
		{Box{0, 0, math.Inf(1), 1}, Box{0, 0, math.Inf(1), 1}, 0}, //
		{Box{math.NaN(), 0, 1, 1}, Box{0, 0, 1, 1}, 0},            //
	} {
		if got := c.a.IoU(c.b); !near(got, c.want) {
			t.Errorf("%v, %v: got %v, want %v", c.a, c.b, got, c.want)
		}
	}
}

// Whoever finds everything has 1, whatever the scores; and neither the order of
// the detections nor an exchange of classes or images plays a part.
func TestEvaluateProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	const classes = 3
	for range 50 {
		n := 1 + r.IntN(8)
		truths, perfect, drawn := make([][]Truth, n), make([][]Detection, n), make([][]Detection, n)
		for i := range n {
			for range r.IntN(4) {
				truth := Truth{Class: r.IntN(classes), Box: drawBox(r), Difficult: r.IntN(4) == 0}
				truths[i] = append(truths[i], truth)
				perfect[i] = append(perfect[i], Detection{Class: truth.Class, Score: r.Float64(), Box: truth.Box})
				moved := truth.Box
				for side := range moved {
					moved[side] += r.NormFloat64()
				}
				drawn[i] = append(drawn[i], Detection{Class: truth.Class, Score: r.Float64(), Box: moved}, Detection{Class: r.IntN(classes), Score: r.Float64(), Box: drawBox(r)})
			}
		}
		for _, m := range []Metric{VOC07, Area} {
			for class, ap := range Evaluate(truths, perfect, classes, m).Class {
				if !math.IsNaN(ap) && !near(ap, 1) {
					t.Fatalf("metric %d: perfect detections of class %d have %v, want 1", m, class, ap)
				}
			}
			want := Evaluate(truths, drawn, classes, m)
			other := make([][]Truth, n)
			others := make([][]Detection, n)
			for i := range n {
				for _, truth := range truths[i] {
					truth.Class = (truth.Class + 1) % classes
					other[n-1-i] = append(other[n-1-i], truth)
				}
				for _, d := range drawn[i] {
					d.Class = (d.Class + 1) % classes
					others[n-1-i] = append(others[n-1-i], d)
				}
				slices.Reverse(others[n-1-i])
			}
			got := Evaluate(other, others, classes, m)
			if !near(got.AP, want.AP) || !near(got.AP50, want.AP50) || !near(got.Class[1], want.Class[0]) {
				t.Fatalf("metric %d: classes and images exchanged: got %+v, want %+v", m, got, want)
			}
		}
	}
}

func TestEvaluateWantsWholeInput(t *testing.T) {
	for name, call := range map[string]func(){
		"images":    func() { Evaluate(make([][]Truth, 2), make([][]Detection, 1), 1, Area) },
		"truth":     func() { Evaluate([][]Truth{{{Class: 1, Difficult: true}}}, make([][]Detection, 1), 1, Area) },
		"detection": func() { Evaluate(make([][]Truth, 1), [][]Detection{{{Class: -1}}}, 1, Area) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			call()
		}()
	}
}
