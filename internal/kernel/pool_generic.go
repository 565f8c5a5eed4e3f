package kernel

var poolGeneric = poolKernels{max: maxPoolF32Generic, maxBackward: maxPoolBackwardF32Generic}

func maxPoolF32Generic(y []float32, arg []uint8, x []float32, off []int, here []int32) {
	arg = arg[:len(y)]
	copy(y, x[off[0]:])
	for c := range arg {
		arg[c] = uint8(here[0])
	}
	for t, at := range off[1:] {
		place := uint8(here[t+1])
		for c, v := range x[at:][:len(y)] {
			if v > y[c] || (v != v && y[c] == y[c]) {
				y[c], arg[c] = v, place
			}
		}
	}
}

func maxPoolBackwardF32Generic(dx, dy []float32, arg []uint8, off []int, here []int32, add bool) {
	if !add {
		clear(dx)
	}
	for t, at := range off {
		place, places := uint8(here[t]), arg[at:][:len(dx)]
		for c, g := range dy[at:][:len(dx)] {
			if places[c] == place {
				dx[c] += g
			}
		}
	}
}
