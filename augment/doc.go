// Package augment turns a decoded image into the two views of a positive pair.
//
// A policy is a list of operators written as YAML (see Parse); the published
// ones are built in (see Builtin). Operators carry the names and arguments of
// torchvision's transforms and, given the same parameters, produce the bytes of
// its PIL backend, that is of Pillow.
//
//	policy, err := augment.Builtin("moco-v2", 224)
//	...
//	var scratch augment.Scratch
//	key := augment.SampleKey{Seed: 1, Epoch: 0, ID: "train-00000.tar/000000"}
//	err = policy.Apply(anchor, positive, img, key, &scratch)
//
// What is random is drawn from a counter (package rng): a view is a pure
// function of the policy, the image and (seed, epoch, id, view, operator's
// place), so neither workers nor restarts change it.
//
// Pixels are 8-bit RGB, [H,W,3]. Normalisation is the encoder's work.
//
// The inner loops exist in Go and, for amd64, in assembly for AVX2 and, where
// wider vectors gain, AVX-512, with equal bytes (kernels.go). CLPIPE_KERNEL=generic
// in the environment chooses the Go ones, the build tag noasm leaves nothing else.
package augment
