package rng

import (
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"
)

func permutation(n, seed, epoch uint64) Permutation {
	s := New(seed, Order, epoch)
	return NewPermutation(n, &s)
}

func TestPermutationIsOneForEveryLength(t *testing.T) {
	for n := uint64(1); n <= 3000; n++ {
		p := permutation(n, n, 7)
		seen := make([]bool, n)
		for i := range n {
			v := p.At(i)
			if v >= n || seen[v] {
				t.Fatalf("n %d: place %d holds %d, which is too large or comes twice", n, i, v)
			}
			seen[v] = true
		}
	}
}

// Of a long range not all can be tried: places close together and drawn ones
// hold different numbers below n.
func TestLongPermutations(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.Uint64Range(3001, math.MaxUint64).Draw(rt, "n")
		p := permutation(n, rapid.Uint64().Draw(rt, "seed"), rapid.Uint64().Draw(rt, "epoch"))
		places := rapid.SliceOfNDistinct(rapid.Uint64Range(0, n-1), 2, 50, rapid.ID[uint64]).Draw(rt, "places")
		first := rapid.Uint64Range(0, n-2001).Draw(rt, "first")
		at := map[uint64]uint64{}
		try := func(place uint64) {
			v := p.At(place)
			if v >= n {
				rt.Fatalf("place %d of %d holds %d", place, n, v)
			}
			if before, again := at[v]; again && before != place {
				rt.Fatalf("places %d and %d of %d both hold %d", before, place, n, v)
			}
			at[v] = place
		}
		for _, place := range places {
			try(place)
		}
		for i := range uint64(2000) {
			try(first + i)
		}
	})
}

// The orders of runs recorded with a seed may never change.
func TestPermutationIsKept(t *testing.T) {
	got := ""
	p, q := permutation(10, 1, 0), permutation(1281167, 1, 3)
	for i := range uint64(10) {
		got += fmt.Sprint(p.At(i), " ")
	}
	for i := range uint64(4) {
		got += fmt.Sprint(q.At(i), " ")
	}
	const want = "8 4 5 0 6 1 9 2 7 3 510748 920730 256442 316915 "
	if got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestPermutationsAreUniform compares, over many seeds, how often each order of
// a few numbers comes, and where each of more numbers goes, with what chance
// would give: chi-square stays below its mean plus five deviations.
func TestPermutationsAreUniform(t *testing.T) {
	check := func(what string, counts map[string]int, cells int, draws float64) {
		want, chi := draws/float64(cells), 0.0
		for _, n := range counts {
			chi += (float64(n) - want) * (float64(n) - want) / want
		}
		chi += want * float64(cells-len(counts)) // those that never came
		if free := float64(cells - 1); chi > free+5*math.Sqrt(2*free) {
			t.Errorf("%s: chi-square %.1f for %d cells", what, chi, cells)
		}
	}
	for n, orders := range map[uint64]int{2: 2, 3: 6, 4: 24, 5: 120} {
		draws := 200 * orders
		counts := map[string]int{}
		for seed := range draws {
			p := permutation(n, uint64(seed), 1)
			order := ""
			for i := range n {
				order += fmt.Sprint(p.At(i))
			}
			counts[order]++
		}
		check(fmt.Sprintf("orders of %d", n), counts, orders, float64(draws))
	}
	for _, n := range []uint64{16, 37, 64, 100} {
		const draws = 4000
		at, pairs := map[string]int{}, map[string]int{}
		for seed := range uint64(draws) {
			p := permutation(n, 5, seed)
			at[fmt.Sprint(p.At(n/3))]++
			pairs[fmt.Sprint((p.At(1)+n-p.At(0))%n)]++
		}
		check(fmt.Sprintf("a place among %d", n), at, int(n), draws)
		check(fmt.Sprintf("the way between two places among %d", n), pairs, int(n-1), draws)
	}
}

func BenchmarkPermutation(b *testing.B) {
	p := permutation(1281167, 1, 0)
	place := uint64(0)
	for b.Loop() {
		p.At(place)
		if place++; place == p.Len() {
			place = 0
		}
	}
}
