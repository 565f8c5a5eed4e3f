package parquetshard

import (
	"testing"

	"github.com/apache/arrow/go/v15/parquet/compress"
)

// TestPageWithoutValues unpacks what some writers leave of the values of a page of
// nothing but nulls: no bytes at all, not even those of a packing of none.
func TestPageWithoutValues(t *testing.T) {
	for _, codec := range []compress.Compression{compress.Codecs.Uncompressed, compress.Codecs.Snappy, compress.Codecs.Gzip, compress.Codecs.Zstd, lz4Raw} {
		p := pages{codec: codec}
		if got, err := p.unpack([]byte{}, 0); len(got) != 0 || err != nil {
			t.Errorf("%v: got %d bytes, %v, want none", codec, len(got), err)
		}
		if _, err := p.unpack([]byte{}, 1); err == nil && codec != compress.Codecs.Uncompressed {
			t.Errorf("%v: one byte of none: got no error", codec)
		}
		p.close()
	}
}
