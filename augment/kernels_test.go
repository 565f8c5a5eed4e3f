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
			axis.prepare(f, in, out, lo, hi)
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
	axis.prepare(filters[0], from, size, 0, size)
	wide, tall := randomRaster(rng, from, size), randomRaster(rng, size, from)
	dst := raster{w: size, h: size, stride: 3 * size, pix: make([]byte, 3*size*size)}
	for _, c := range []struct {
		name string
		run  func(k *kernels)
	}{
		{"resampleRows", func(k *kernels) { k.resampleRows(dst, wide, 0, &axis, &s.line) }},
		{"resampleColumns", func(k *kernels) { k.resampleColumns(dst, tall, 0, &axis, &s.sums) }},
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
