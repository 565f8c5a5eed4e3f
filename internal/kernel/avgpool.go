package kernel

import (
	"fmt"

	"clpipe/internal/par"
)

// AvgWindowShape is an average pooling of an NHWC activation [N,H,W,PadC(C)]
// over square windows that lie inside the image.
type AvgWindowShape struct{ N, H, W, C, Kernel, Stride int }

// OutH is the height of the output, floor((H-Kernel)/Stride)+1.
func (s AvgWindowShape) OutH() int { return (s.H-s.Kernel)/s.Stride + 1 }

// OutW is the width of the output.
func (s AvgWindowShape) OutW() int { return (s.W-s.Kernel)/s.Stride + 1 }

// Forward sets y [N,OutH,OutW,Cp] to the windows' means.
func (s AvgWindowShape) Forward(y, x []float32) []par.Phase {
	s.check("average pool", len(y), len(x))
	oh, ow, cp, sum := s.OutH(), s.OutW(), PadC(s.C), active.vector.add
	inv := 1 / float32(s.Kernel*s.Kernel)
	return []par.Phase{{Tasks: s.N * oh, Run: func(_, t int) {
		n, top := t/oh, t%oh*s.Stride
		for j := range ow {
			mean := y[(t*ow+j)*cp : (t*ow+j+1)*cp]
			clear(mean)
			for h := top; h < top+s.Kernel; h++ {
				for w := j * s.Stride; w < j*s.Stride+s.Kernel; w++ {
					sum(mean, x[((n*s.H+h)*s.W+w)*cp:][:cp])
				}
			}
			for c := range mean {
				mean[c] *= inv
			}
		}
	}}}
}

// Backward spreads dy/Kernel² over the windows' pixels of dx, which is added to
// if add is set, else overwritten.
func (s AvgWindowShape) Backward(dx, dy []float32, add bool) []par.Phase {
	s.check("average pool backward", len(dy), len(dx))
	oh, ow, cp, spread := s.OutH(), s.OutW(), PadC(s.C), active.vector.triad
	inv := 1 / float32(s.Kernel*s.Kernel)
	// Windows may overlap, so a sample is one task.
	return []par.Phase{{Tasks: s.N, Run: func(_, n int) {
		image := dx[n*s.H*s.W*cp : (n+1)*s.H*s.W*cp]
		if !add {
			clear(image)
		}
		for i := range oh {
			for j := range ow {
				grad := dy[((n*oh+i)*ow+j)*cp:][:cp]
				for h := i * s.Stride; h < i*s.Stride+s.Kernel; h++ {
					for w := j * s.Stride; w < j*s.Stride+s.Kernel; w++ {
						pixel := image[(h*s.W+w)*cp:][:cp]
						spread(pixel, pixel, grad, inv)
					}
				}
			}
		}
	}}}
}

func (s AvgWindowShape) check(op string, result, operand int) {
	if s.N < 1 || s.H < s.Kernel || s.W < s.Kernel || s.C < 1 || s.Kernel < 1 || s.Stride < 1 {
		panic(fmt.Sprintf("kernel: %s: shape %+v: want positive sizes and a window inside the image", op, s))
	}
	checkLen(op, s, "result", result, s.N*s.OutH()*s.OutW()*PadC(s.C))
	checkLen(op, s, "operand", operand, s.N*s.H*s.W*PadC(s.C))
}
