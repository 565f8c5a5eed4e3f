package kernel

import (
	"fmt"
	"testing"

	"clpipe/internal/goldentest"
)

// TestConvAgainstPyTorch compares with testdata/conv.json.
func TestConvAgainstPyTorch(t *testing.T) {
	var golden struct {
		Cases []struct {
			Shape               ConvShape
			X, W, DY, Y, DX, DW []float64
		}
	}
	goldentest.Read(t, "testdata/conv.json", &golden)
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
