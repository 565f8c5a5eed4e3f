package augment

import (
	"bytes"
	"fmt"
	"image"
	"math/rand/v2"
	"testing"
)

// guard is what bytes outside a kernel's result hold.
const guard = 0xA5

// forEachNative runs f with every row but the generic one.
func forEachNative(t *testing.T, f func(t *testing.T, k *kernels, rng *rand.Rand)) {
	for i := range implementations[1:] {
		k := &implementations[1+i]
		t.Run("impl="+k.name, func(t *testing.T) { f(t, k, rand.New(rand.NewPCG(5, 6))) })
	}
}

// randomBytes draws n bytes; extreme ones half of the time. No byte behind them
// belongs to the slice.
func randomBytes(rng *rand.Rand, n int) []byte {
	p := make([]byte, n)
	extreme := rng.IntN(2) == 0
	for i := range p {
		p[i] = byte(rng.UintN(256))
		if extreme {
			p[i] = []byte{0, 255, 128, 127, 1, 254}[rng.IntN(6)]
		}
	}
	return p
}

// guarded returns a raster with guard bytes around it and between its rows, and
// all of that memory.
func guarded(rng *rand.Rand, w, h int) (r raster, all []byte) {
	const margin = 40
	stride, offset := 3*w+rng.IntN(9), margin+rng.IntN(8)
	all = bytes.Repeat([]byte{guard}, offset+h*stride+margin)
	return raster{w: w, h: h, stride: stride, pix: all[offset:]}, all
}

// randomRaster returns a picture whose last row ends the memory, or a crop.
func randomRaster(rng *rand.Rand, w, h int) raster {
	if rng.IntN(2) == 0 {
		return raster{w: w, h: h, stride: 3 * w, pix: randomBytes(rng, 3*w*h)}
	}
	x, y, right, below := rng.IntN(3), rng.IntN(3), rng.IntN(3), rng.IntN(3)
	all := raster{w: x + w + right, h: y + h + below}
	all.stride = 3 * all.w
	all.pix = randomBytes(rng, all.stride*all.h)
	return all.crop(image.Rect(x, y, x+w, y+h))
}

// sameMemory runs both functions on guarded pictures of w x h and compares all
// bytes, those of the guards too.
func sameMemory(t *testing.T, rng *rand.Rand, w, h int, what string, want, got func(dst raster)) {
	t.Helper()
	wantDst, wantAll := guarded(rng, w, h)
	gotAll := bytes.Clone(wantAll)
	gotDst := wantDst
	gotDst.pix = gotAll[len(gotAll)-len(wantDst.pix):]
	want(wantDst)
	got(gotDst)
	for i := range wantAll {
		if gotAll[i] != wantAll[i] {
			at := i - (len(wantAll) - len(wantDst.pix))
			t.Fatalf("%s, result %dx%d, stride %d: byte %d: got %d, want %d", what, w, h, wantDst.stride, at, gotAll[i], wantAll[i])
		}
	}
}

func TestResampleKernelsEqualGeneric(t *testing.T) {
	forEachNative(t, func(t *testing.T, k *kernels, rng *rand.Rand) {
		var spare []byte
		var sums []int32
		for range 3000 {
			f := filters[rng.IntN(len(filters))]
			in, out, other := 1+rng.IntN(80), 1+rng.IntN(80), 1+rng.IntN(23)
			if rng.IntN(4) == 0 {
				in *= 1 + rng.IntN(12) // many weights
			}
			lo := rng.IntN(out)
			hi := lo + 1 + rng.IntN(out-lo)
			var axis taps
			axis.prepare(f, wholeAxis(in, out, lo, hi))
			from, to := axis.span()

			what := fmt.Sprintf("%s from %d to [%d,%d) of %d", f.name, in, lo, hi, out)
			src := randomRaster(rng, to-from, other)
			sameMemory(t, rng, hi-lo, other, "rows, "+what,
				func(dst raster) { resampleRowsGeneric(dst, src, from, &axis, nil) },
				func(dst raster) { k.resampleRows(dst, src, from, &axis, &spare) })
			src = randomRaster(rng, other, to-from)
			sameMemory(t, rng, other, hi-lo, "columns, "+what,
				func(dst raster) { resampleColumnsGeneric(dst, src, from, &axis, &sums) },
				func(dst raster) { k.resampleColumns(dst, src, from, &axis, &sums) })
		}
	})
}

// pixelKernels runs each kernel on pixels with parameters drawn from rng.
func pixelKernels(k *kernels, rng *rand.Rand) map[string]func(dst, src []byte) {
	level, shift, factor := byte(rng.UintN(256)), byte(rng.UintN(256)), rng.Float32()*3
	return map[string]func(dst, src []byte){
		fmt.Sprintf("blendLevel %d %g", level, factor): func(dst, src []byte) { k.blendLevel(dst, src, level, factor) },
		fmt.Sprintf("saturate %g", factor):             func(dst, src []byte) { k.saturate(dst, src, factor) },
		"grey":                                         k.grey,
		fmt.Sprintf("turnHue %d", shift):               func(dst, src []byte) { k.turnHue(dst, src, shift) },
		fmt.Sprintf("invertFrom %d", level):            func(dst, src []byte) { k.invertFrom(dst, src, level) },
		"mirror":                                       k.mirror,
	}
}

func TestPixelKernelsEqualGeneric(t *testing.T) {
	forEachNative(t, func(t *testing.T, k *kernels, rng *rand.Rand) {
		for n := range 2*32 + 2 {
			for range 20 {
				seed := rng.Uint64()
				native := pixelKernels(k, rand.New(rand.NewPCG(seed, 0)))
				src := randomBytes(rng, 3*n)
				for what, generic := range pixelKernels(&implementations[0], rand.New(rand.NewPCG(seed, 0))) {
					kernel := native[what]
					sameMemory(t, rng, n, 1, what,
						func(dst raster) { generic(dst.row(0), src) },
						func(dst raster) { kernel(dst.row(0), src) })
					sameMemory(t, rng, n, 1, what+" in place",
						func(dst raster) { copy(dst.row(0), src); generic(dst.row(0), dst.row(0)) },
						func(dst raster) { copy(dst.row(0), src); kernel(dst.row(0), dst.row(0)) })
				}
				if got, want := k.sumLuma(src), sumLumaGeneric(src); got != want {
					t.Fatalf("sumLuma of %v: got %d, want %d", src, got, want)
				}
			}
		}
	})
}

func TestBoxKernelsEqualGeneric(t *testing.T) {
	forEachNative(t, func(t *testing.T, k *kernels, rng *rand.Rand) {
		for n := range 2*32 + 2 {
			for range 20 {
				rows := make([][]byte, 5)
				for i := range rows {
					rows[i] = randomBytes(rng, 3*n)
				}
				one, three := newBoxWeights(rng.Float32()), newBoxWeights(1+rng.Float32())
				switch rng.IntN(4) {
				case 0:
					one, three = newBoxWeights(0), newBoxWeights(1)
				case 1: // sums that only just round down
					one = boxWeights{full: 1<<23 - 1, end: 1<<22 - 1}
					three = one
				}
				sameMemory(t, rng, n, 1, fmt.Sprintf("boxOne %+v", one),
					func(dst raster) { boxOneGeneric(dst.row(0), rows[0], rows[1], rows[2], one) },
					func(dst raster) { k.boxOne(dst.row(0), rows[0], rows[1], rows[2], one) })
				sameMemory(t, rng, n, 1, fmt.Sprintf("boxThree %+v", three),
					func(dst raster) { boxThreeGeneric(dst.row(0), rows[0], rows[1], rows[2], rows[3], rows[4], three) },
					func(dst raster) { k.boxThree(dst.row(0), rows[0], rows[1], rows[2], rows[3], rows[4], three) })
			}
		}
	})
}

func TestConvolutionKernelsEqualGeneric(t *testing.T) {
	forEachNative(t, func(t *testing.T, k *kernels, rng *rand.Rand) {
		for range 400 {
			w, h := 1+rng.IntN(2*32+2), 1+rng.IntN(5)
			half := make([]float32, 1+rng.IntN(12))
			for i := range half {
				half[i] = rng.Float32() / float32(2*len(half))
			}
			n, margin := 3*w, 3*(len(half)-1)
			line := randomBytes(rng, n+2*margin)
			want, got := make([]float32, n+1), make([]float32, n+1)
			want[n], got[n] = guard, guard
			convolveRowGeneric(want[:n], line, half)
			k.convolveRow(got[:n], line, half)
			for i := range want {
				if got[i] != want[i] {
					t.Fatalf("convolveRow with %v: float %d of %d: got %g, want %g", half, i, n, got[i], want[i])
				}
			}

			rows, at := make([]float32, n*h), make([]int, 2*len(half)-1)
			for i := range rows {
				rows[i] = float32(rng.IntN(510)) / 2 // halves round to even
				if len(half) > 1 {
					rows[i] = rng.Float32() * 255
				}
			}
			if len(half) == 1 {
				half[0] = 1
			}
			for i := range at {
				at[i] = n * rng.IntN(h)
			}
			sameMemory(t, rng, w, 1, fmt.Sprintf("convolveColumns with %v", half),
				func(dst raster) { convolveColumnsGeneric(dst.row(0), rows, at, half) },
				func(dst raster) { k.convolveColumns(dst.row(0), rows, at, half) })
		}
	})
}

// TestColourKernelsForEveryColour compares all that the assembly's own formulas
// can be given. For a turn of the hue that is every colour on the way to HSV, and
// on the way back every saturation and value with every hue.
func TestColourKernelsForEveryColour(t *testing.T) {
	if testing.Short() {
		t.Skip("32 million pixels")
	}
	forEachNative(t, func(t *testing.T, k *kernels, _ *rand.Rand) {
		src, got, want := make([]byte, 3<<16), make([]byte, 3<<16), make([]byte, 3<<16)
		check := func(what string, parameter any) {
			if !bytes.Equal(got, want) {
				i := 0
				for bytes.Equal(got[i:i+3], want[i:i+3]) {
					i += 3
				}
				t.Fatalf("%s %v of %v: got %v, want %v", what, parameter, src[i:i+3], got[i:i+3], want[i:i+3])
			}
		}
		turn := func(shift byte) {
			turnHueGeneric(want, src, shift)
			k.turnHue(got, src, shift)
			check("turnHue", shift)
		}
		for r := range 256 {
			for i := range 1 << 16 {
				src[3*i], src[3*i+1], src[3*i+2] = byte(r), byte(i>>8), byte(i)
			}
			turn(byte(37 * r))
			greyGeneric(want, src)
			k.grey(got, src)
			check("grey", "")
			factor := float32(r) / 100
			saturateGeneric(want, src, factor)
			k.saturate(got, src, factor)
			check("saturate", factor)
		}
		// Reds of hue 0 with every value and chroma have every saturation and
		// value that there is together.
		for i := range 1 << 16 {
			high := i >> 8
			low := min(i&255, high)
			src[3*i], src[3*i+1], src[3*i+2] = byte(high), byte(low), byte(low)
		}
		for shift := range 256 {
			turn(byte(shift))
		}
	})
}

// FuzzKernels compares two rows of the table: every kernel on the same pixels.
func FuzzKernels(f *testing.F) {
	f.Add([]byte("a picture of a few pixels, and as many again to fill a vector or two"), uint64(1), uint16(7), uint16(40))
	f.Add(bytes.Repeat([]byte{0, 255, 128}, 33), uint64(2), uint16(31), uint16(5))
	f.Fuzz(func(t *testing.T, pixels []byte, seed uint64, out, split uint16) {
		w := len(pixels) / 3
		if w == 0 || w > 1<<12 {
			return
		}
		pixels = pixels[:3*w]
		var axis taps
		hi := 1 + int(out%512)
		axis.prepare(filters[seed%2], wholeAxis(w, hi, 0, hi))
		line := raster{w: w, h: 1, stride: 3 * w, pix: pixels}
		column := raster{w: 1, h: w, stride: 3, pix: pixels}
		weights := newBoxWeights(float32(split) / (1 << 16))
		for i := range implementations[1:] {
			k, rng := &implementations[1+i], rand.New(rand.NewPCG(seed, 1))
			var spare []byte
			var sums []int32
			sameMemory(t, rng, hi, 1, "rows",
				func(dst raster) { resampleRowsGeneric(dst, line, 0, &axis, nil) },
				func(dst raster) { k.resampleRows(dst, line, 0, &axis, &spare) })
			sameMemory(t, rng, 1, hi, "columns",
				func(dst raster) { resampleColumnsGeneric(dst, column, 0, &axis, &sums) },
				func(dst raster) { k.resampleColumns(dst, column, 0, &axis, &sums) })
			if w > 2 {
				sameMemory(t, rng, w-2, 1, "boxOne",
					func(dst raster) { boxOneGeneric(dst.row(0), pixels, pixels[3:], pixels[6:], weights) },
					func(dst raster) { k.boxOne(dst.row(0), pixels, pixels[3:], pixels[6:], weights) })
			}
			native := pixelKernels(k, rand.New(rand.NewPCG(seed, 0)))
			for what, generic := range pixelKernels(&implementations[0], rand.New(rand.NewPCG(seed, 0))) {
				sameMemory(t, rng, w, 1, what,
					func(dst raster) { generic(dst.row(0), pixels) },
					func(dst raster) { native[what](dst.row(0), pixels) })
			}
		}
	})
}

func TestEnvironmentChoosesKernels(t *testing.T) {
	fastest := &implementations[len(implementations)-1]
	for name, want := range map[string]*kernels{"generic": &implementations[0], "": fastest, "no such": fastest} {
		if got := chooseKernels(name); got != want {
			t.Errorf("%q: got %s, want %s", name, got.name, want.name)
		}
	}
}

// BenchmarkKernels measures each inner loop on a view of 224 pixels, resampling
// from 300.
func BenchmarkKernels(b *testing.B) {
	const size, from = 224, 300
	rng := rand.New(rand.NewPCG(7, 8))
	var s Scratch
	var axis taps
	axis.prepare(filters[0], wholeAxis(from, size, 0, size))
	wide := raster{w: from, h: size, stride: 3 * from, pix: randomBytes(rng, 3*from*size)}
	tall := raster{w: size, h: from, stride: 3 * size, pix: randomBytes(rng, 3*from*size)}
	dst := raster{w: size, h: size, stride: 3 * size, pix: make([]byte, 3*size*size)}
	pix := randomBytes(rng, len(dst.pix))
	half := gaussianKernel(&s.kernel, 23, 1.1)
	floats, at := make([]float32, len(pix)), make([]int, 2*len(half)-1)
	for _, c := range []struct {
		name string
		run  func(k *kernels)
	}{
		{"resampleRows", func(k *kernels) { k.resampleRows(dst, wide, 0, &axis, &s.line) }},
		{"resampleColumns", func(k *kernels) { k.resampleColumns(dst, tall, 0, &axis, &s.sums) }},
		{"blendLevel", func(k *kernels) { k.blendLevel(dst.pix, pix, 99, 0.8) }},
		{"saturate", func(k *kernels) { k.saturate(dst.pix, pix, 1.2) }},
		{"grey", func(k *kernels) { k.grey(dst.pix, pix) }},
		{"sumLuma", func(k *kernels) { k.sumLuma(pix) }},
		{"turnHue", func(k *kernels) { k.turnHue(dst.pix, pix, 25) }},
		{"invertFrom", func(k *kernels) { k.invertFrom(dst.pix, pix, 128) }},
		{"mirror", func(k *kernels) { k.mirror(dst.pix, pix) }},
		{"boxOne", func(k *kernels) { k.boxOne(dst.pix[6:], pix, pix[3:], pix[6:], newBoxWeights(0.5)) }},
		{"boxThree", func(k *kernels) {
			k.boxThree(dst.pix[12:], pix, pix[3:], pix[6:], pix[9:], pix[12:], newBoxWeights(1.5))
		}},
		{"convolveRow", func(k *kernels) { k.convolveRow(floats[6*len(half):], pix, half) }},
		{"convolveColumns", func(k *kernels) { k.convolveColumns(dst.pix, floats, at, half) }},
	} {
		for i := range implementations {
			k := &implementations[i]
			b.Run(fmt.Sprintf("%s/impl=%s", c.name, k.name), func(b *testing.B) {
				b.SetBytes(int64(len(dst.pix)))
				for b.Loop() {
					c.run(k)
				}
			})
		}
	}
}

// wholeAxis is the axis of a whole picture.
func wholeAxis(in, out, lo, hi int) axis { return axis{in, 0, float64(in), out, lo, hi} }
