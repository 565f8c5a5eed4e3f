package tarshard

import "testing"

// TestHashesAgreeWithAMap adds hashes, many of them twice and many with the same
// lowest bits.
func TestHashesAgreeWithAMap(t *testing.T) {
	var got hashes
	want := map[uint64]bool{}
	for n := range uint64(20_000) {
		for _, hash := range []uint64{n*n%10_007 + 1, (n%9000 + 1) << 40} {
			if again := got.add(hash); again != want[hash] {
				t.Fatalf("hash %d, number %d: again is %v, want %v", hash, n, again, want[hash])
			}
			want[hash] = true
		}
	}
}
