//go:build !system || !(linux || darwin)

package imagecodec

// SystemDecoder names the library that decodes whole JPEG pictures where Kernels
// are generic, or says why there is none.
func SystemDecoder() (name string, err error) {
	return "", ErrNoSystemTag
}

// systemDecoder is a library's decoder, of which there is none in this build.
type systemDecoder struct{}

func (systemDecoder) decode(*jpegDecoder, *Image) bool { return false }
