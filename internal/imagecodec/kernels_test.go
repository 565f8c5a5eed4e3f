package imagecodec

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// Sizes up to two vectors and one more. Behind what a kernel may write stand
// guard bytes.
const (
	maxWidth = 2*32 + 1
	guard    = 0xA5
)

// guarded returns n bytes of room, then slack, then guard bytes.
func guarded(n int) []byte {
	return bytes.Repeat([]byte{guard}, n+slack+32)
}

func checkGuard(t *testing.T, what string, p []byte, used int) {
	t.Helper()
	for i, v := range p[used+slack:] {
		if v != guard {
			t.Fatalf("%s: byte %d behind the slack was overwritten", what, i)
		}
	}
}

// samplesWithSlack returns n samples; extreme ones half of the time.
func samplesWithSlack(rng *rand.Rand, n int) []byte {
	p := make([]byte, n+slack)
	extreme := rng.IntN(2) == 0
	for i := range p {
		p[i] = byte(rng.UintN(256))
		if extreme {
			p[i] = []byte{0, 255, 128, 127, 1, 254}[rng.IntN(6)]
		}
	}
	return p[:n]
}

func forEachNative(t *testing.T, f func(t *testing.T, k *kernels, rng *rand.Rand)) {
	for i := range implementations[1:] {
		k := &implementations[1+i]
		t.Run("impl="+k.name, func(t *testing.T) { f(t, k, rand.New(rand.NewPCG(5, 6))) })
	}
}

func TestUpsampleKernelsEqualGeneric(t *testing.T) {
	forEachNative(t, func(t *testing.T, k *kernels, rng *rand.Rand) {
		for n := 1; n <= maxWidth; n++ {
			for range 20 {
				near, far := samplesWithSlack(rng, n), samplesWithSlack(rng, n)
				want, got := make([]byte, 2*n), guarded(2*n)
				upsampleH2Generic(want, near)
				k.upsampleH2(got, near)
				if !bytes.Equal(got[:2*n], want) {
					t.Fatalf("upsampleH2 of %v:\ngot  %v\nwant %v", near, got[:2*n], want)
				}
				checkGuard(t, "upsampleH2", got, 2*n)
				upsampleH2V2Generic(want, near, far)
				k.upsampleH2V2(got, near, far)
				if !bytes.Equal(got[:2*n], want) {
					t.Fatalf("upsampleH2V2 of %v and %v:\ngot  %v\nwant %v", near, far, got[:2*n], want)
				}
				checkGuard(t, "upsampleH2V2", got, 2*n)
			}
		}
	})
}

func TestColorKernelEqualsGenericForEveryColor(t *testing.T) {
	forEachNative(t, func(t *testing.T, k *kernels, rng *rand.Rand) {
		y, cb, cr := make([]byte, 256), make([]byte, 256), make([]byte, 256)
		want, got := make([]byte, 3*256), make([]byte, 3*256)
		for i := range y {
			y[i] = byte(i)
		}
		for c := range 1 << 16 {
			for i := range cb {
				cb[i], cr[i] = byte(c), byte(c>>8)
			}
			rgbFromYCbCrGeneric(want, y, cb, cr)
			k.rgbFromYCbCr(got, y, cb, cr)
			if !bytes.Equal(got, want) {
				t.Fatalf("cb %d cr %d:\ngot  %v\nwant %v", byte(c), c>>8, got, want)
			}
		}
		for n := range maxWidth + 1 {
			got := guarded(3*n - slack)
			k.rgbFromYCbCr(got, samplesWithSlack(rng, n), y, cr)
			for i, v := range got[3*n:] {
				if v != guard {
					t.Fatalf("%d pixels: byte %d behind them was overwritten", n, i)
				}
			}
		}
	})
}

// randomBlock draws a block like those of real files, or a wild one such as
// damage gives.
func randomBlock(rng *rand.Rand, block []int16) {
	clear(block)
	limit := []int{4, 60, 1024, 1 << 15}[rng.IntN(4)]
	for range rng.IntN(12) {
		block[rng.IntN(64)] = int16(rng.IntN(2*limit) - limit)
	}
	if rng.IntN(8) == 0 {
		for i := range block {
			block[i] = int16(rng.IntN(2*limit) - limit)
		}
	}
	if rng.IntN(4) == 0 {
		clear(block[1+7*rng.IntN(2):])
		block[0] = int16(rng.UintN(1 << 16))
	}
}

func TestIDCTKernelsEqualGeneric(t *testing.T) {
	type transform = func(dst []byte, stride int, coefs []int16, quantizer *[64]int16, n int)
	forEachNative(t, func(t *testing.T, k *kernels, rng *rand.Rand) {
		for _, c := range []struct {
			size          int // samples of a block, a side
			native, plain transform
		}{{8, k.idct, idctGeneric}, {4, k.idct4, idct4Generic}, {2, k.idct2, idct2Generic}} {
			for round := range 4000 {
				n := 1 + round%5
				coefs := make([]int16, 64*n)
				var quantizer [64]int16
				for i := range quantizer {
					quantizer[i] = int16(1 + rng.IntN([]int{1, 255, 1 << 16}[round%3]))
				}
				for i := range n {
					randomBlock(rng, coefs[64*i:64*i+64])
				}
				stride := c.size*(n+1) + rng.IntN(20)
				want, got := make([]byte, c.size*stride), guarded(c.size*stride)
				c.plain(want, stride, coefs, &quantizer, n)
				c.native(got, stride, coefs, &quantizer, n)
				checkGuard(t, "idct", got, c.size*stride)
				for y := range c.size {
					from, to := y*stride, y*stride+c.size*n
					if !bytes.Equal(got[from:to], want[from:to]) {
						t.Fatalf("%d x %d, row %d of blocks %v, quantiser %v:\ngot  %v\nwant %v", c.size, c.size, y, coefs, quantizer, got[from:to], want[from:to])
					}
				}
			}
		}
	})
}

// randomTable draws a table with codes of all lengths and any symbols below a
// bound.
func randomTable(t *testing.T, rng *rand.Rand, bound uint) *huffmanTable {
	t.Helper()
	var counts [16]byte
	symbols := make([]byte, 0, 256)
	free := 2 // codes not yet taken at the length in hand
	for i := range counts {
		n := min(rng.IntN(min(free, 40)), 256-len(symbols)) // one stays free
		counts[i] = byte(n)
		for range n {
			symbols = append(symbols, byte(rng.UintN(bound)))
		}
		free = (free - n) * 2
	}
	table := new(huffmanTable)
	table.define(counts[:], symbols)
	if err := table.build(false); err != nil {
		t.Fatal(err)
	}
	return table
}

func TestSequentialKernelEqualsGeneric(t *testing.T) {
	forEachNative(t, func(t *testing.T, k *kernels, rng *rand.Rand) {
		for round := range 600 {
			var d jpegDecoder
			for range 1 + rng.IntN(2000) {
				if v := byte(rng.UintN(256)); v == 0xFF {
					d.data = append(d.data, 0xFF, 0)
				} else {
					d.data = append(d.data, v)
				}
			}
			d.data = append(d.data, 0xFF, markerEOI)
			d.load()
			var comps [2]scanComponent
			for i := range comps {
				comps[i] = scanComponent{dc: randomTable(t, rng, 16), ac: randomTable(t, rng, 256)}
				comps[i].ac.buildSteps(round%2 == 0)
			}
			wantComps, gotComps := comps, comps
			want, wantBits := make([]int16, 64*300), d.bits
			got, gotBits := make([]int16, 64*300), d.bits
			mcus := 1 + rng.IntN(100)
			mcusGeneric(&wantBits, twoToOne(&wantComps, want), 0, mcus)
			k.mcus(&gotBits, twoToOne(&gotComps, got), 0, mcus)
			// How far ahead of the data taken the buffer is filled may differ, and so
			// how many of the zeros behind the data count as taken.
			taken, wantTaken := gotBits.at*8-int(gotBits.n), wantBits.at*8-int(wantBits.n)
			if taken != wantTaken && !(gotBits.exhausted() && wantBits.exhausted()) {
				t.Fatalf("%d MCUs: got %d bits taken, want %d", mcus, taken, wantTaken)
			}
			if !slices.Equal(got, want) || gotComps[0].pred != wantComps[0].pred || gotComps[1].pred != wantComps[1].pred {
				t.Fatalf("%d MCUs:\ngot  %v\nwant %v", mcus, got, want)
			}
		}
	})
}

// twoToOne is an MCU of two blocks of the first component, side by side, and of
// one of the second, whose coefficients lie behind those of 100 of the first.
func twoToOne(comps *[2]scanComponent, coefs []int16) []mcuBlock {
	block := func(sc *scanComponent, coefs []int16, stride int) mcuBlock {
		return mcuBlock{sc: sc, codes: &sc.dc.lookup[0], steps: &sc.ac.steps[0], pred: &sc.pred, coefs: coefs, stride: stride}
	}
	return []mcuBlock{block(&comps[0], coefs, 256), block(&comps[0], coefs[64:], 256), block(&comps[1], coefs[64*200:], 128)}
}

func TestEnvironmentChoosesKernels(t *testing.T) {
	fastest := &implementations[len(implementations)-1]
	for name, want := range map[string]*kernels{"generic": &implementations[0], "": fastest, "no such": fastest} {
		if got := chooseKernels(name); got != want {
			t.Errorf("%q: got %s, want %s", name, got.name, want.name)
		}
	}
}

func BenchmarkKernels(b *testing.B) {
	rng := rand.New(rand.NewPCG(7, 8))
	const n = 512
	near, far, cr := samplesWithSlack(rng, n), samplesWithSlack(rng, n), samplesWithSlack(rng, n)
	dst := make([]byte, 8*n+slack)
	coefs := make([]int16, n/8*64)
	for i := range n / 8 {
		for range 10 {
			coefs[i*64+rng.IntN(64)] = int16(rng.IntN(64) - 32)
		}
	}
	quantizer := [64]int16{16, 11, 10, 16, 12, 12, 14, 14}
	for i := range implementations {
		k := &implementations[i]
		for _, c := range []struct {
			name string
			run  func()
		}{
			{"idct", func() { k.idct(dst, n, coefs, &quantizer, n/8) }},
			{"idct4", func() { k.idct4(dst, n, coefs, &quantizer, n/8) }},
			{"idct2", func() { k.idct2(dst, n, coefs, &quantizer, n/8) }},
			{"upsampleH2", func() { k.upsampleH2(dst, near) }},
			{"upsampleH2V2", func() { k.upsampleH2V2(dst, near, far) }},
			{"rgbFromYCbCr", func() { k.rgbFromYCbCr(dst, near, far, cr) }},
		} {
			b.Run(fmt.Sprintf("%s/n=%d/impl=%s", c.name, n, k.name), func(b *testing.B) {
				b.SetBytes(n)
				for b.Loop() {
					c.run()
				}
			})
		}
	}
}
