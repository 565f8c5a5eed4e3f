// Package goldentest is for tests that compare with what a script in testdata recorded: it
// reads the record, and draws the numbers that both sides begin with.
package goldentest

import (
	"encoding/json"
	"os"
	"testing"
)

// Read fills v with a JSON file, and ends the test where it cannot.
func Read(t testing.TB, path string, v any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// Hashed returns n numbers in [0,1) with 24 bits each, the same as the function hashed of
// the scripts: SplitMix64 of a seed and the number's place, so that no generator of a
// library has to be followed.
func Hashed(seed, n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		z := (uint64(i) + 1 + uint64(seed)<<32) * 0x9e3779b97f4a7c15
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		z ^= z >> 31
		out[i] = float64(z>>40) / (1 << 24)
	}
	return out
}
