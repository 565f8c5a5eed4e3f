package parquetshard

import (
	"bytes"
	"testing"

	"github.com/apache/arrow/go/v15/parquet/compress"
	"github.com/klauspost/compress/gzip"
)

// TestPageWithoutValues unpacks what some writers leave of the values of a page of
// nothing but nulls: no bytes at all, not even those of a packing of none.
func TestPageWithoutValues(t *testing.T) {
	for _, codec := range []compress.Compression{compress.Codecs.Snappy, compress.Codecs.Gzip, compress.Codecs.Zstd, lz4Raw} {
		p := pages{codec: codec}
		if got, err := p.unpack([]byte{}, 0); len(got) != 0 || err != nil {
			t.Errorf("%v: got %d bytes, %v, want none", codec, len(got), err)
		}
		if _, err := p.unpack([]byte{}, 1); err == nil {
			t.Errorf("%v: one byte of none: got no error", codec)
		}
		p.close()
	}
}

// TestDamagedPageOfGzip alters a byte that is stored as it is, so that only the
// checksum tells.
func TestDamagedPageOfGzip(t *testing.T) {
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.NoCompression)
	if err != nil {
		t.Fatal(err)
	}
	z.Write([]byte("page"))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	p := pages{codec: compress.Codecs.Gzip}
	defer p.close()
	if got, err := p.unpack(packed.Bytes(), 4); string(got) != "page" || err != nil {
		t.Errorf("got %q, %v, want page", got, err)
	}
	if _, err := p.unpack(packed.Bytes(), 3); err == nil {
		t.Error("three bytes of four: got no error")
	}
	damaged := bytes.Replace(packed.Bytes(), []byte("page"), []byte("pane"), 1)
	if got, err := p.unpack(damaged, 4); err == nil {
		t.Errorf("got %q, want an error: its checksum differs", got)
	}
}
