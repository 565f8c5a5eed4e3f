package augment

import (
	"fmt"
	"testing"

	"clpipe/internal/imagecodec"
	"clpipe/internal/rng"
)

// benchImage is a picture as ingest would hand it over for views of a size: a
// CIFAR image, or the ImageNet median of 500x375.
func benchImage(size int) *imagecodec.Image {
	img := &imagecodec.Image{W: 32, H: 32}
	if size > 32 {
		img.W, img.H = 500, 375
	}
	img.Pix = make([]byte, 3*img.W*img.H)
	draw := rng.New(1, rng.Benchmark)
	for i := range img.Pix {
		img.Pix[i] = byte(i/img.W + i%251 + draw.IntN(8))
	}
	return img
}

func BenchmarkPolicy(b *testing.B) {
	for _, name := range Builtins() {
		for _, size := range []int{32, 224} {
			b.Run(fmt.Sprintf("policy=%s/size=%d/impl=%s", name, size, Kernels()), func(b *testing.B) {
				p, err := Builtin(name, size)
				if err != nil {
					b.Fatal(err)
				}
				img := benchImage(size)
				anchor, positive := make([]byte, p.viewBytes()), make([]byte, p.viewBytes())
				var s Scratch
				b.ReportAllocs()
				key := SampleKey{Seed: 1, ID: "shard/000001"}
				for b.Loop() {
					key.Epoch++
					if err := p.Apply(anchor, positive, img, key, &s); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "samples/s")
			})
		}
	}
}

func BenchmarkOperator(b *testing.B) {
	for _, op := range []string{
		"{op: random_resized_crop, size: %d}",
		"{op: random_resized_crop, size: %d, interpolation: bicubic}",
		"{op: center_crop, size: %d}",
		"{op: horizontal_flip}",
		"{op: affine, angle: 10, shear: [5, 0]}",
		"{op: affine, angle: 10, shear: [5, 0], interpolation: bilinear}",
		"{op: elastic_transform}",
		"{op: brightness, factor: 1.2}",
		"{op: contrast, factor: 0.8}",
		"{op: saturation, factor: 1.2}",
		"{op: hue, factor: 0.1}",
		"{op: grayscale}",
		"{op: gaussian_blur, sigma: 1.1}",
		"{op: gaussian_blur, sigma: 1.1, kind: torchvision}",
		"{op: solarize}",
		"{op: translate_reflect}",
	} {
		for _, size := range []int{32, 224} {
			text := op
			img := benchImage(size)
			if op[:12] == "{op: random_" {
				text = fmt.Sprintf(op, size)
			} else {
				img = &imagecodec.Image{W: size, H: size, Pix: img.Pix[:3*size*size]}
				if op == "{op: center_crop, size: %d}" {
					text = fmt.Sprintf(op, size)
				}
			}
			p, err := Parse("bench", []byte("anchor: ["+text+"]"), size)
			if err != nil {
				b.Fatal(err)
			}
			b.Run(fmt.Sprintf("op=%s/size=%d/impl=%s", text[5:len(text)-1], size, Kernels()), func(b *testing.B) {
				view := make([]byte, 3*size*size)
				var s Scratch
				key := SampleKey{Seed: 1, ID: "shard/000001"}
				b.SetBytes(int64(len(view)))
				for b.Loop() {
					key.Epoch++
					if err := p.Apply(view, nil, img, key, &s); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
