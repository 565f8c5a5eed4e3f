//go:build !amd64 || noasm

package augment

// nativeKernels returns no row: there is no assembly in this build.
func nativeKernels() []kernels { return nil }
