package augment

import (
	"fmt"
	"image"
	"math"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"clpipe/internal/rng"
)

const (
	maxSide     = 8192 // of a size or margin, in pixels
	maxPlace    = 1 << 20
	maxStrength = 10
	maxFactor   = 1e6 // of a blend; beyond, every value is bounded anyway
)

const sizeMissing = "missing: neither the policy nor --size tells the side of a view"

// An extent is a size in pixels, height first as in torchvision.
type extent struct{ h, w int }

// A span is the range [lo,hi) of a random argument; one value if they are equal.
type span struct{ lo, hi float64 }

func (s span) draw(draw *rng.Stream) float64 { return draw.Uniform(s.lo, s.hi) }

// An interval holds the values an argument may have.
type interval struct {
	lo, hi float64
	above  bool // lo itself is not allowed
}

func (in interval) holds(v float64) bool { return (v > in.lo || v == in.lo && !in.above) && v <= in.hi }

func (in interval) String() string {
	open := "["
	if in.above {
		open = "("
	}
	return open + number(in.lo) + ", " + number(in.hi) + "]"
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// arguments reads the arguments of one operator. A getter returns the default
// for what is not there, notes a problem with what is not allowed, and records
// the resolved value for Policy.String. close finds what no getter asked for.
type arguments struct {
	file   *policyFile
	op     string
	node   *yaml.Node // the operator's mapping
	view   int        // side of a view; 0: nobody says
	asked  []string
	record strings.Builder
}

// get returns the value of an argument, nil if it is not there.
func (a *arguments) get(name string) *yaml.Node {
	a.asked = append(a.asked, name)
	return entry(a.node, name)
}

func (a *arguments) has(name string) bool { return entry(a.node, name) != nil }

// fail notes a problem with an argument.
func (a *arguments) fail(name, problem string) {
	node := entry(a.node, name)
	if node == nil {
		node = a.node
	}
	a.file.fail(node, "%s: %s: %s", a.op, name, problem)
}

func (a *arguments) wrong(name string, node *yaml.Node, want string) {
	a.fail(name, fmt.Sprintf("got %s, want %s", describe(node), want))
}

// resolved records a value, in JSON, for Policy.String.
func (a *arguments) resolved(name, value string) {
	fmt.Fprintf(&a.record, ",%q:%s", name, value)
}

// close reports the arguments that the operator does not have.
func (a *arguments) close() {
	for i := 0; i+1 < len(a.node.Content); i += 2 {
		if key := a.node.Content[i]; !slices.Contains(a.asked, key.Value) {
			a.file.fail(key, "%s: unknown argument %s, want one of %s", a.op, quote(key.Value), strings.Join(a.asked, ", "))
		}
	}
}

// number returns a number within in.
func (a *arguments) number(name string, absent float64, in interval) float64 {
	v := absent
	if node := a.get(name); node != nil {
		var ok bool
		if v, ok = scalarNumber(node); !ok || !in.holds(v) {
			a.wrong(name, node, "a number in "+in.String())
			v = absent
		}
	}
	a.resolved(name, number(v))
	return v
}

// required is number without a default.
func (a *arguments) required(name string, in interval) float64 {
	if !a.has(name) {
		a.asked = append(a.asked, name)
		a.fail(name, "missing, want a number in "+in.String())
		return in.hi
	}
	return a.number(name, in.hi, in)
}

// factor returns the argument of a blend.
func (a *arguments) factor() float32 {
	return float32(a.required("factor", interval{lo: 0, hi: maxFactor}))
}

// span returns a number or a list of two, each within in.
func (a *arguments) span(name string, absent span, in interval) span {
	v := absent
	if node := a.get(name); node != nil {
		var ok bool
		if v, ok = scalarSpan(node); !ok || !in.holds(v.lo) || !in.holds(v.hi) || v.lo > v.hi {
			a.wrong(name, node, "a number or [low, high] in "+in.String())
			v = absent
		}
	}
	a.recordSpan(name, v)
	return v
}

// jitterStrength returns what the distances of a jitter are multiplied by. It is
// not recorded: the spans are. A strength asked for from outside replaces the
// one that stands here.
func (a *arguments) jitterStrength(name string) float64 {
	node, in := a.get(name), interval{lo: 0, hi: maxStrength}
	if node == nil {
		return 1
	}
	v, ok := scalarNumber(node)
	if !ok || !in.holds(v) {
		a.wrong(name, node, "a number in "+in.String())
		return 1
	}
	if a.file.strength != nil {
		a.file.strengthUsed = true
		return *a.file.strength
	}
	return v
}

// distance returns the span of a jitter: a list holds the factors themselves, a
// number v stands for those at most v*strength away from centre.
func (a *arguments) distance(name string, centre, strength float64, in interval) span {
	v := span{centre, centre}
	if node := a.get(name); node != nil {
		distance := interval{lo: 0, hi: in.hi - centre}
		d, isNumber := scalarNumber(node)
		d *= strength
		list, isSpan := scalarSpan(node)
		switch {
		case isNumber && distance.holds(d):
			v = span{max(centre-d, in.lo), centre + d}
		case !isNumber && isSpan && in.holds(list.lo) && in.holds(list.hi) && list.lo <= list.hi:
			v = list
		default:
			a.wrong(name, node, fmt.Sprintf("a number in %s or [low, high] in %s", distance, in))
		}
	}
	a.recordSpan(name, v)
	return v
}

func (a *arguments) recordSpan(name string, v span) {
	a.resolved(name, "["+number(v.lo)+","+number(v.hi)+"]")
}

// integer returns a whole number in [lo,hi].
func (a *arguments) integer(name string, absent, lo, hi int) int {
	v := absent
	if node := a.get(name); node != nil {
		var ok bool
		if v, ok = scalarInteger(node); !ok || v < lo || v > hi {
			a.wrong(name, node, fmt.Sprintf("a whole number in [%d, %d]", lo, hi))
			v = absent
		}
	}
	a.resolved(name, strconv.Itoa(v))
	return v
}

// integerSpan returns a whole number, twice, or a list of two, in [lo,hi].
func (a *arguments) integerSpan(name string, least, most, lo, hi int) (int, int) {
	if node := a.get(name); node != nil {
		list, ok := integerList(node, 2)
		if v, isNumber := scalarInteger(node); isNumber {
			list, ok = []int{v, v}, true
		}
		if !ok || list[0] < lo || list[0] > list[1] || list[1] > hi {
			a.wrong(name, node, fmt.Sprintf("a whole number or [low, high] in [%d, %d]", lo, hi))
		} else {
			least, most = list[0], list[1]
		}
	}
	a.resolved(name, fmt.Sprintf("[%d,%d]", least, most))
	return least, most
}

// boolean returns true or false.
func (a *arguments) boolean(name string, absent bool) bool {
	v := absent
	if node := a.get(name); node != nil {
		if node.Tag != "!!bool" || node.Decode(&v) != nil {
			a.wrong(name, node, "true or false")
			v = absent
		}
	}
	a.resolved(name, strconv.FormatBool(v))
	return v
}

// choice returns one of the words of.
func (a *arguments) choice(name, absent string, of ...string) string {
	v := absent
	if node := a.get(name); node != nil {
		if node.Kind != yaml.ScalarNode || !slices.Contains(of, node.Value) {
			a.wrong(name, node, strings.Join(of, " or "))
		} else {
			v = node.Value
		}
	}
	a.resolved(name, strconv.Quote(v))
	return v
}

// interpolation returns the filter of a resize.
func (a *arguments) interpolation() *filter {
	names := make([]string, len(filters))
	for i, f := range filters {
		names[i] = f.name
	}
	return filters[slices.Index(names, a.choice("interpolation", names[0], names...))]
}

// extent returns a size: one number for a square, or [height, width]. The side
// of a view stands in for a size that is not there.
func (a *arguments) extent(name string) extent {
	side, size := a.sideOrExtent(name)
	if side != 0 {
		size = extent{side, side}
	}
	return size
}

// sideOrExtent is extent for an operator to which one number is not a square:
// side is that number, or 0 if size holds.
func (a *arguments) sideOrExtent(name string) (side int, size extent) {
	node := a.get(name)
	if node == nil {
		if a.view == 0 {
			a.fail(name, sizeMissing)
		}
		side = max(a.view, 1)
		a.resolved(name, strconv.Itoa(side))
		return side, extent{}
	}
	allowed := func(v int, ok bool) bool { return ok && 1 <= v && v <= maxSide }
	if v, ok := scalarInteger(node); allowed(v, ok) {
		a.resolved(name, strconv.Itoa(v))
		return v, extent{}
	}
	if l, ok := integerList(node, 2); ok && allowed(l[0], true) && allowed(l[1], true) {
		a.resolved(name, fmt.Sprintf("[%d,%d]", l[0], l[1]))
		return 0, extent{l[0], l[1]}
	}
	a.wrong(name, node, fmt.Sprintf("a whole number or [height, width] in [1, %d]", maxSide))
	return 1, extent{}
}

// shortSideForCrop returns the short side of which a centre crop of the view's
// side keeps the share that stands under pct. It is recorded as size.
func (a *arguments) shortSideForCrop(pct, size string) int {
	a.asked = append(a.asked, pct, size)
	node, in := entry(a.node, pct), interval{lo: 0.1, hi: 1}
	share, ok := scalarNumber(node)
	if !ok || !in.holds(share) {
		a.wrong(pct, node, "a number in "+in.String())
		share = 1
	}
	if a.has(size) {
		a.fail(pct, "stands beside size, want either")
	}
	if a.view == 0 {
		a.fail(size, sizeMissing)
	}
	short := max(int(float64(a.view)/share), 1)
	a.resolved(size, strconv.Itoa(short))
	return short
}

// numbers returns a list of n numbers within in; one number stands for all.
func (a *arguments) numbers(name string, absent []float64, in interval, n int) []float64 {
	v := absent
	if node := a.get(name); node != nil {
		list, ok := numberList(node, n)
		for _, x := range list {
			ok = ok && in.holds(x)
		}
		if v = list; !ok {
			a.wrong(name, node, fmt.Sprintf("a number or a list of %d in %s", n, in))
			v = absent
		}
	}
	a.recordList(name, v)
	return v
}

func (a *arguments) recordList(name string, list []float64) {
	text := make([]string, len(list))
	for i, v := range list {
		text[i] = number(v)
	}
	a.resolved(name, "["+strings.Join(text, ",")+"]")
}

// integers returns a list of two whole numbers in [lo,hi].
func (a *arguments) integers(name string, absent [2]int, lo, hi int) [2]int {
	v := absent
	if node := a.get(name); node != nil {
		list, ok := integerList(node, 2)
		if ok = ok && lo <= min(list[0], list[1]) && max(list[0], list[1]) <= hi; ok {
			v = [2]int(list)
		} else {
			a.wrong(name, node, fmt.Sprintf("a list of 2 whole numbers in [%d, %d]", lo, hi))
		}
	}
	a.resolved(name, fmt.Sprintf("[%d,%d]", v[0], v[1]))
	return v
}

// around returns [low, high] within in, or of a number the range around 0 that
// it bounds. It has no default.
func (a *arguments) around(name string, in interval) span {
	node := a.get(name)
	want := fmt.Sprintf("a number in [0, %s] or [low, high] in %s", number(in.hi), in)
	if node == nil {
		a.fail(name, "missing, want "+want)
		return span{}
	}
	v, ok := aroundZero(node)
	if !ok || !in.holds(v.lo) || !in.holds(v.hi) || v.lo > v.hi {
		a.wrong(name, node, want)
		v = span{}
	}
	a.recordSpan(name, v)
	return v
}

// aroundZero reads a span, or the number that bounds one around 0.
func aroundZero(node *yaml.Node) (span, bool) {
	if d, ok := scalarNumber(node); ok {
		return span{0 - d, d}, d >= 0 // no minus zero
	}
	return scalarSpan(node)
}

// shears returns torchvision's shear: a number or [low, high] along x alone, or
// [low, high, low, high] along x and y. None by default.
func (a *arguments) shears(name string) (x, y span) {
	if node := a.get(name); node != nil {
		var ok bool
		if list, four := numberList(node, 4); four && node.Kind == yaml.SequenceNode {
			x, y, ok = span{list[0], list[1]}, span{list[2], list[3]}, true
		} else {
			x, ok = aroundZero(node)
		}
		for _, s := range [...]span{x, y} {
			ok = ok && shearRange.holds(s.lo) && shearRange.holds(s.hi) && s.lo <= s.hi
		}
		if !ok {
			a.wrong(name, node, "a number, [low, high] along x or [low, high, low, high] along x and y, all in "+shearRange.String())
			x, y = span{}, span{}
		}
	}
	a.recordList(name, []float64{x.lo, x.hi, y.lo, y.hi})
	return x, y
}

// color returns a grey level or [red, green, blue]; black by default.
func (a *arguments) color(name string) (c [3]byte) {
	if node := a.get(name); node != nil {
		list, ok := integerList(node, 3)
		if v, isNumber := scalarInteger(node); isNumber {
			list, ok = []int{v, v, v}, true
		}
		if !ok || min(list[0], list[1], list[2]) < 0 || max(list[0], list[1], list[2]) > 255 {
			a.wrong(name, node, "a whole number or [red, green, blue] in [0, 255]")
		} else {
			c = [3]byte{byte(list[0]), byte(list[1]), byte(list[2])}
		}
	}
	a.resolved(name, fmt.Sprintf("[%d,%d,%d]", c[0], c[1], c[2]))
	return c
}

// box returns [left, top, width, height].
func (a *arguments) box(name string) image.Rectangle {
	node := a.get(name)
	want := fmt.Sprintf("[left, top, width, height], sides in [1, %d]", maxSide)
	if node == nil {
		a.fail(name, "missing, want "+want)
		return image.Rect(0, 0, 1, 1)
	}
	l, ok := integerList(node, 4)
	if !ok || max(l[0], l[1]) > maxPlace || min(l[0], l[1]) < -maxPlace || min(l[2], l[3]) < 1 || max(l[2], l[3]) > maxSide {
		a.wrong(name, node, want)
		return image.Rect(0, 0, 1, 1)
	}
	a.resolved(name, fmt.Sprintf("[%d,%d,%d,%d]", l[0], l[1], l[2], l[3]))
	return image.Rect(l[0], l[1], l[0]+l[2], l[1]+l[3])
}

func scalarNumber(node *yaml.Node) (v float64, ok bool) {
	if node.Tag != "!!int" && node.Tag != "!!float" || node.Decode(&v) != nil {
		return 0, false
	}
	return v, !math.IsNaN(v) && !math.IsInf(v, 0)
}

func scalarInteger(node *yaml.Node) (v int, ok bool) {
	return v, node.Tag == "!!int" && node.Decode(&v) == nil
}

func scalarSpan(node *yaml.Node) (v span, ok bool) {
	if v.lo, ok = scalarNumber(node); ok {
		return span{v.lo, v.lo}, true
	}
	if node.Kind != yaml.SequenceNode || len(node.Content) != 2 {
		return span{}, false
	}
	lo, okLo := scalarNumber(node.Content[0])
	hi, okHi := scalarNumber(node.Content[1])
	return span{lo, hi}, okLo && okHi
}

// numberList reads a list of n numbers, or one number that stands for all.
func numberList(node *yaml.Node, n int) ([]float64, bool) {
	if v, ok := scalarNumber(node); ok {
		return slices.Repeat([]float64{v}, n), true
	}
	return list(node, n, scalarNumber)
}

func integerList(node *yaml.Node, n int) ([]int, bool) { return list(node, n, scalarInteger) }

// list reads a list of n elements.
func list[T any](node *yaml.Node, n int, element func(*yaml.Node) (T, bool)) ([]T, bool) {
	if node.Kind != yaml.SequenceNode || len(node.Content) != n {
		return nil, false
	}
	out := make([]T, n)
	for i, c := range node.Content {
		var ok bool
		if out[i], ok = element(c); !ok {
			return nil, false
		}
	}
	return out, true
}
