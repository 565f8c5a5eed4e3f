package ingest

import "clpipe/internal/imagecodec"

// Two images are near duplicates if the hashes of their thumbnails differ in at
// most NearBits of 128 bits, and a quarter of those that are set, and the
// thumbnails themselves by at most NearLevels grey levels in the mean. A photograph that was scaled, compressed again or made
// a little brighter stays within both.
const (
	NearBits   = 7
	NearLevels = 8
)

// bands are the parts of a hash that are looked up: of two hashes that differ in
// fewer bits than there are bands, one band at least is equal.
const (
	bands    = NearBits + 1
	bandBits = 128 / bands
)

// crowd bounds how many images of an equal band are compared with each: of a
// thousand blank pages all are found, each beside the ones before it.
const crowd = 64

func near(a, b *checkedSample) bool {
	differ, set := imagecodec.Distance(a.hash, b.hash)
	return differ <= min(NearBits, set/4) && a.thumb.Difference(&b.thumb) <= NearLevels
}

// nearGroups returns groups of images that are alike, as positions, in order.
// Images of equal content count once, as the first of them.
func nearGroups(samples []*checkedSample) [][]int {
	parent := make([]int, len(samples))
	for i := range parent {
		parent[i] = i
	}
	root := func(i int) int {
		for parent[i] != i {
			parent[i] = parent[parent[i]]
			i = parent[i]
		}
		return i
	}
	met := map[[16]byte]bool{}
	buckets := map[[2]int][]int{} // by number and value of a band
	for i, s := range samples {
		if met[s.content] {
			continue
		}
		met[s.content] = true
		for b := range bands {
			word := s.hash[b/(bands/2)]
			key := [2]int{b, int(word >> (b % (bands / 2) * bandBits) & (1<<bandBits - 1))}
			bucket := buckets[key]
			for _, j := range bucket[max(0, len(bucket)-crowd):] {
				if near(s, samples[j]) {
					a, b := root(i), root(j)
					parent[max(a, b)] = min(a, b)
				}
			}
			buckets[key] = append(bucket, i)
		}
	}
	groups := map[int][]int{}
	var order []int
	for i := range samples {
		r := root(i)
		if r != i && groups[r] == nil {
			order = append(order, r)
			groups[r] = []int{r}
		}
		if r != i {
			groups[r] = append(groups[r], i)
		}
	}
	out := make([][]int, len(order))
	for i, r := range order {
		out[i] = groups[r]
	}
	return out
}
