//go:build !amd64 || noasm

package kernel

// nativeRows returns no row: there is no assembly in this build.
func nativeRows() []implementation { return nil }
