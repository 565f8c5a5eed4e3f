//go:build system && (linux || darwin)

package imagecodec

import (
	"fmt"
	"runtime"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
)

// libturbojpeg, loaded at run time and spoken to by its TurboJPEG API alone:
// libjpeg's own reports errors by a jump that no Go frame survives.
//
// It is asked where this package has no assembly for the processor; with it this
// package is faster (benchmarks/RESULTS.md). And it decodes what it does as this
// package does: whole pictures of one scan, of one component or three. Whatever it
// so much as warns about is decoded again by this package, which alone decides what
// is accepted. Progressive files and parts of pictures, which this package decodes
// in less time than the API the whole, stay here.

// turboJPEG holds the functions that are called, of API version 2: newer
// libraries have them too.
type turboJPEG struct {
	name                      string
	start, decompress, finish uintptr
}

// Constants of turbojpeg.h.
const (
	tjPixelRGB      = 0
	tjStopOnWarning = 8192
)

var turboJPEGNames = map[string][]string{
	"linux":  {"libturbojpeg.so.0", "libturbojpeg.so"},
	"darwin": {"libturbojpeg.dylib", "/opt/homebrew/lib/libturbojpeg.dylib", "/usr/local/lib/libturbojpeg.dylib"},
}

// loadTurboJPEG opens the library once. The error says why there is none.
var loadTurboJPEG = sync.OnceValues(func() (*turboJPEG, error) {
	var first error
	for _, name := range turboJPEGNames[runtime.GOOS] {
		t, err := openTurboJPEG(name)
		if err == nil {
			return t, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, fmt.Errorf("imagecodec: libturbojpeg: %w", first)
})

func openTurboJPEG(name string) (*turboJPEG, error) {
	library, err := purego.Dlopen(name, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, err
	}
	t := &turboJPEG{name: name}
	for symbol, f := range map[string]*uintptr{"tjInitDecompress": &t.start, "tjDecompress2": &t.decompress, "tjDestroy": &t.finish} {
		if *f, err = purego.Dlsym(library, symbol); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// SystemDecoder names the library that decodes whole JPEG pictures where Kernels
// are generic, or says why there is none.
func SystemDecoder() (name string, err error) {
	t, err := loadTurboJPEG()
	if err != nil {
		return "", err
	}
	return t.name, nil
}

// systemDecoder is this package's share in a decompressor of the library. The
// zero value starts one when it is first asked.
type systemDecoder struct{ started *decompressor }

type decompressor struct {
	library *turboJPEG
	handle  uintptr
}

func startDecompressor() *decompressor {
	t, err := loadTurboJPEG()
	if err != nil {
		return nil
	}
	handle, _, _ := purego.SyscallN(t.start)
	if handle == 0 {
		return nil
	}
	d := &decompressor{t, handle}
	runtime.AddCleanup(d, func(h uintptr) { purego.SyscallN(t.finish, h) }, handle)
	return d
}

// decode fills dst, whose size is the picture's, and tells whether it did. The
// markers before d's first scan have been read.
func (s *systemDecoder) decode(d *jpegDecoder, dst *Image) bool {
	if color := d.colorModel(); active.name != "generic" || d.progressive || len(d.scan.comps) < len(d.comps) || color == colorCMYK || color == colorYCCK || !d.hasTables() {
		return false
	}
	if s.started == nil {
		if s.started = startDecompressor(); s.started == nil {
			return false
		}
	}
	status, _, _ := purego.SyscallN(s.started.library.decompress, s.started.handle,
		uintptr(unsafe.Pointer(unsafe.SliceData(d.data))), uintptr(len(d.data)),
		uintptr(unsafe.Pointer(unsafe.SliceData(dst.Pix))), uintptr(dst.W), 0, uintptr(dst.H), tjPixelRGB, tjStopOnWarning)
	runtime.KeepAlive(s.started)
	return int32(status) == 0
}

// hasTables tells whether the file itself defines all tables of the scan. libjpeg
// keeps those of the file before.
func (d *jpegDecoder) hasTables() bool {
	for _, sc := range d.scan.comps {
		if int(sc.c.tq) >= len(d.quant) || int(sc.td) >= len(d.dcTables) || int(sc.ta) >= len(d.acTables) ||
			!d.quant[sc.c.tq].defined || !d.dcTables[sc.td].defined || !d.acTables[sc.ta].defined {
			return false
		}
	}
	return true
}
