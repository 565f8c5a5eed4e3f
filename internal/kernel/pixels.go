package kernel

import (
	"fmt"

	"clpipe/internal/par"
)

// PixelsArgs is the input of Normalize, which changes from run to run.
type PixelsArgs struct {
	Src  []byte // [N,H,W,3]
	More []byte // the samples after those of Src, which then has fewer; nil: none
}

// Normalize sets y [N,H,W,4] to (x/255-mean)/std per channel of the pixels x
// of src, the fourth channel to 0. The values are those of float64 arithmetic,
// rounded once.
func Normalize(y []float32, src *PixelsArgs, n, h, w int, mean, std [3]float32) []par.Phase {
	shape := [3]int{n, h, w}
	checkLen("normalize pixels", shape, "y", len(y), n*h*w*4)
	var table [3][256]float32
	for c := range table {
		for v := range table[c] {
			table[c][v] = float32((float64(v)/255 - float64(mean[c])) / float64(std[c]))
		}
	}
	rowTasks := n * h
	return []par.Phase{{Tasks: rowTasks, Run: func(_, t int) {
		if got := len(src.Src) + len(src.More); got != n*h*w*3 {
			panic(fmt.Sprintf("kernel: normalize pixels: got %d bytes, want %d for shape %v", got, n*h*w*3, shape))
		}
		from, at := src.Src, t*w*3
		if at >= len(from) {
			from, at = src.More, at-len(from)
		}
		in, out := from[at:at+w*3], y[t*w*4:(t+1)*w*4]
		for len(in) >= 3 && len(out) >= 4 {
			out[0], out[1], out[2], out[3] = table[0][in[0]], table[1][in[1]], table[2][in[2]], 0
			in, out = in[3:], out[4:]
		}
	}}}
}
