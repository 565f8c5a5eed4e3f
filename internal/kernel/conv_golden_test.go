package kernel

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"
)

// TestConvAgainstPyTorch compares with testdata/conv.json.
func TestConvAgainstPyTorch(t *testing.T) {
	raw, err := os.ReadFile("testdata/conv.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Cases []struct {
			Shape               ConvShape
			X, W, DY, Y, DX, DW []float64
		}
	}
	if err := json.Unmarshal(raw, &golden); err != nil {
		t.Fatal(err)
	}
	if len(golden.Cases) == 0 {
		t.Fatal("testdata/conv.json holds no cases")
	}
	eachVariant(t, func(t *testing.T) {
		for _, g := range golden.Cases {
			c := &convCase{
				shape: g.Shape, x: g.X, w: g.W, dy: g.DY, y: g.Y, dx: g.DX, dw: g.DW,
				added: make([]float64, len(g.X)), dwAdd: make([]float64, len(g.W)),
			}
			c.measure()
			for alg, bound := range convBounds {
				t.Run(fmt.Sprintf("alg=%d/%s", alg, g.Shape.name()), func(t *testing.T) {
					c.check(t, c.run(t, alg, 2), bound)
				})
			}
		}
	})
}
