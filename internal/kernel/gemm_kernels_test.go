package kernel

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// tileShape is a call of gather or outer.
type tileShape struct{ panels, groups, taps, depth int }

func (s tileShape) String() string {
	return fmt.Sprintf("panels=%d,groups=%d,taps=%d,depth=%d", s.panels, s.groups, s.taps, s.depth)
}

// eachTile runs f for calls of every number of panels that the active row
// takes, with depths around the unrolling of the loops.
func eachTile(t *testing.T, f func(t *testing.T, s tileShape)) {
	for panels := 1; panels <= active.gemm.panels; panels++ {
		for _, depth := range []int{1, 2, 3, 4, 5, 7, 8, 16, 33} {
			for _, taps := range []int{1, 2, 9} {
				for _, groups := range []int{1, 3} {
					s := tileShape{panels, groups, taps, depth}
					t.Run(s.String(), func(t *testing.T) { f(t, s) })
				}
			}
		}
	}
}

func TestGatherAgainstDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	eachVariant(t, func(t *testing.T) {
		eachTile(t, func(t *testing.T, s tileShape) {
			rows := active.gemm.rows
			a := newGuarded(1000)
			copy(a.buf, narrowed(randoms(r, 1000)))
			panelStride := s.taps*s.depth*lanes + 16
			b := newGuarded(s.panels * panelStride)
			copy(b.buf, narrowed(randoms(r, len(b.buf))))
			aOff, cOff := make([]int, s.groups*s.taps*rows), make([]int, s.groups*rows)
			for i := range aOff {
				aOff[i] = r.IntN(len(a.buf) - s.depth + 1)
			}
			width := s.panels*lanes + 3
			for i, at := range r.Perm(len(cOff)) {
				cOff[i] = at * width
			}
			for _, accumulate := range []bool{false, true} {
				c := newGuarded(len(cOff) * width)
				fill(c.buf, guard)
				var got, want []float64
				for i, off := range cOff {
					for j := range s.panels * lanes {
						c.buf[off+j] = float32(j)
						sum := 0.0
						if accumulate {
							sum = float64(j)
						}
						for tap := range s.taps {
							for k := range s.depth {
								x := a.buf[aOff[(i/rows*s.taps+tap)*rows+i%rows]+k]
								sum += float64(x) * float64(b.buf[j/lanes*panelStride+(tap*s.depth+k)*lanes+j%lanes])
							}
						}
						want = append(want, sum)
					}
				}
				active.gemm.gather(c.buf, cOff, a.buf, aOff, b.buf, panelStride, s.panels, s.groups, s.taps, s.depth, accumulate)
				for i, off := range cOff {
					for j := range width {
						if v := c.buf[off+j]; j < s.panels*lanes {
							got = append(got, float64(v))
						} else if v != guard {
							t.Fatalf("row %d: wrote %g to column %d of %d", i, v, j, s.panels*lanes)
						}
					}
				}
				compare(t, fmt.Sprintf("accumulate=%t", accumulate), got, want, errorBound{1e-6, 1e-5})
				c.check(t, "c")
			}
		})
	})
}

func TestOuterAgainstDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	eachVariant(t, func(t *testing.T) {
		eachTile(t, func(t *testing.T, s tileShape) {
			depth, height, width := s.taps*s.depth, s.groups*active.gemm.rows, s.panels*lanes
			aStride, bStride, cStride := height+3, width+5, width+7
			a, b := randoms(r, depth*aStride), randoms(r, depth*bStride)
			for _, accumulate := range []bool{false, true} {
				c := newGuarded(height * cStride)
				fill(c.buf, guard)
				var got, want []float64
				for i := range height {
					for j := range width {
						c.buf[i*cStride+j] = float32(i - j)
						sum := 0.0
						if accumulate {
							sum = float64(i - j)
						}
						for k := range depth {
							sum += a[k*aStride+i] * b[k*bStride+j]
						}
						want = append(want, sum)
					}
				}
				active.gemm.outer(c.buf, cStride, narrowed(a), aStride, narrowed(b), bStride, s.panels, s.groups, depth, accumulate)
				for i := range height {
					for j, v := range c.buf[i*cStride:][:cStride] {
						if j < width {
							got = append(got, float64(v))
						} else if v != guard {
							t.Fatalf("row %d: wrote %g to column %d of %d", i, v, j, width)
						}
					}
				}
				compare(t, fmt.Sprintf("accumulate=%t", accumulate), got, want, errorBound{1e-6, 1e-5})
				c.check(t, "c")
			}
		})
	})
}

// TestPanelAgainstDefinition covers every number of rows that the unrolled loop
// tells apart, and strides with and without gaps.
func TestPanelAgainstDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	eachVariant(t, func(t *testing.T) {
		for _, stride := range []int{lanes, lanes + 3, 100} {
			for rows := range 12 {
				src, dst := newGuarded(max(rows-1, 0)*stride+lanes), newGuarded(rows*lanes)
				copy(src.buf, narrowed(randoms(r, len(src.buf))))
				active.gemm.panel(dst.buf, src.buf, stride, rows)
				for i, got := range dst.buf {
					if want := src.buf[i/lanes*stride+i%lanes]; got != want {
						t.Fatalf("stride %d, rows %d: place %d: got %g, want %g", stride, rows, i, got, want)
					}
				}
				dst.check(t, "dst")
			}
		}
	})
}

func TestTransposeAgainstDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	eachVariant(t, func(t *testing.T) {
		for _, rows := range []int{1, 7, 8, 9, 16, 31} {
			for _, cols := range []int{1, 5, 8, 15, 16, 24, 33} {
				sStride, dStride := cols+3, rows+5
				src, dst := newGuarded((rows-1)*sStride+cols), newGuarded((cols-1)*dStride+rows)
				copy(src.buf, narrowed(randoms(r, len(src.buf))))
				fill(dst.buf, guard)
				if rows%8 == 0 && cols%8 == 0 {
					active.gemm.transpose(dst.buf, dStride, src.buf, sStride, rows, cols)
				} else {
					active.gemm.turn(dst.buf, dStride, src.buf, sStride, rows, cols)
				}
				for at, got := range dst.buf {
					want := float32(guard)
					if j, i := at/dStride, at%dStride; i < rows {
						want = src.buf[i*sStride+j]
					}
					if got != want {
						t.Fatalf("%dx%d: place %d: got %g, want %g", rows, cols, at, got, want)
					}
				}
				dst.check(t, "dst")
			}
		}
	})
}
