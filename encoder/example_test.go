package encoder_test

import (
	"fmt"

	"clpipe/encoder"
	"clpipe/internal/par"
)

// A step that pulls the embeddings of eight images towards one direction.
func Example() {
	g := encoder.ResNet(encoder.ResNetConfig{Depth: 18, CIFAR: true, Size: 16, Width: 0.125,
		Normalize: encoder.Normalize{Mean: [3]float32{.5, .5, .5}, Std: [3]float32{.25, .25, .25}}})
	g.AddHead(encoder.Head{Kind: encoder.LinearHead, Dim: 16})
	pool := par.NewPool(0)
	defer pool.Close()
	plan, err := encoder.Compile(g, encoder.Options{Batch: 8, Mode: encoder.Train, Workers: pool.Workers(), Grads: []string{"embedding"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	params := encoder.NewParams(g, 1)
	sgd := encoder.NewSGD(params, encoder.SGDConfig{Momentum: 0.9}, pool)
	arena := plan.Bind(params, pool).NewArena()

	pixels := make([]byte, 8*16*16*3)
	for i := range pixels {
		pixels[i] = byte(i * i)
	}
	mean := func() (sum float32) { // of the first coordinate
		z := arena.Output("embedding")
		for i := range z.N {
			sum += z.Row(i)[0] / float32(z.N)
		}
		return sum
	}
	arena.Forward(pixels)
	before := mean()
	dz := arena.OutputGrad("embedding")
	for i := range dz.N {
		dz.Row(i)[0] = -1 / float32(dz.N)
	}
	arena.Backward()
	sgd.Step(0.1)
	arena.Forward(pixels)
	fmt.Println(arena.Output("embedding").N, "embeddings, moved towards it:", mean() > before)
	// Output: 8 embeddings, moved towards it: true
}
