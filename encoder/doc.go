// Package encoder holds networks and everything needed to train them: their
// description, parameters, compiled plans, activations and optimisers.
//
// Four things stay apart:
//
//	Graph   the description: a DAG of operations with named inputs and outputs
//	Params  the parameters of a graph, under torchvision's names
//	Plan    the graph compiled for a batch size: a flat list of operations and
//	        a memory layout; it knows no parameters and holds no memory
//	Arena   the activations of one forward pass, bound to a plan and parameters
//
// One parameter set serves several arenas at once, each with its own live
// forward pass; the gradients of their backward passes add up in the parameters.
//
//	g := encoder.ResNet(encoder.ResNetConfig{Depth: 18, CIFAR: true, Size: 32, Width: 1})
//	g.AddHead(encoder.Head{Kind: encoder.LinearHead, Dim: 128})
//	params := encoder.NewParams(g, seed)
//	plan, err := encoder.Compile(g, encoder.Options{
//		Batch: 128, Mode: encoder.Train, Workers: pool.Workers(), Grads: []string{"embedding"}})
//	arena := plan.Bind(params, pool).NewArena()
//	arena.Forward(pixels)          // uint8 [N,S,S,3]
//	z := arena.Output("embedding") // float32 [N,D]
//	copy(arena.OutputGrad("embedding").Data, dz)
//	arena.Backward()               // adds to params' gradients
//	sgd.Step(lr)                   // and this uses them up
//
// Inside, activations are NHWC and convolution weights HWIO; what leaves the
// package as a tensor (Params.State) has torchvision's names and layouts.
package encoder
