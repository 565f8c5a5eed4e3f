//go:build !system || !(linux || darwin)

package imagecodec

// SystemDecoder names the library that decodes whole JPEG pictures, or says why
// it is this package that does.
func SystemDecoder() (name string, err error) {
	return "", ErrNoSystemTag
}

// systemDecoder is a library's decoder, of which there is none in this build.
type systemDecoder struct{}

func (systemDecoder) decode(*jpegDecoder, *Image) bool { return false }
