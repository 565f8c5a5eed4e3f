package batch

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// codec decompresses the buffers of a record.
type codec interface {
	// Decode fills dst from all of src.
	Decode(dst, src []byte) error
	// MaxRatio is how many times its own size a buffer can grow at most.
	MaxRatio() int64
	Close()
}

// newCodec returns the decoder of a table BodyCompression: codec LZ4_FRAME or
// ZSTD, method BUFFER.
func newCodec(kind, method byte) (codec, error) {
	switch {
	case method != 0:
	case kind == 0:
		return lz4Codec{}, nil
	case kind == 1:
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true))
		if err != nil {
			return nil, err
		}
		return zstdCodec{d}, nil
	}
	return nil, fmt.Errorf("buffers are compressed with codec %d, method %d: want lz4 (0) or zstd (1), by buffer (0)", kind, method)
}

// unpackedLimit returns how many bytes a record may take whose compressed body
// has n: images shrink some ten times, and a few KB must not become gigabytes.
func unpackedLimit(n int64) int64 { return min(maxBody, max(256<<20, 64*n)) }

// decompress returns the contents of a compressed buffer: its length, an int64
// (-1: stored as it is), and the compressed bytes.
func (l *recordLoader) decompress(s span) (*memory.Buffer, error) {
	const prefix = 8
	if s.length < prefix {
		return nil, fmt.Errorf("a compressed buffer of %d bytes, want at least %d: the stream is damaged", s.length, prefix)
	}
	src := l.body.Bytes()[s.offset : s.offset+s.length]
	n := int64(binary.LittleEndian.Uint64(src))
	if n == -1 {
		return memory.SliceBuffer(l.body, int(s.offset)+prefix, int(s.length)-prefix), nil
	}
	src = src[prefix:]
	if n < 0 || n > int64(len(src))*l.codec.MaxRatio() {
		return nil, fmt.Errorf("%d compressed bytes claim to be %d: the stream is damaged", len(src), n)
	}
	if n > l.budget {
		return nil, fmt.Errorf("a compressed record of %d bytes would take more than %d: write smaller records", l.body.Len(), unpackedLimit(int64(l.body.Len())))
	}
	l.budget -= n
	buf := memory.NewResizableBuffer(l.mem)
	buf.Resize(int(n))
	if err := l.codec.Decode(buf.Bytes(), src); err != nil {
		buf.Release()
		return nil, fmt.Errorf("decompress: %w", err)
	}
	return buf, nil
}

type zstdCodec struct{ *zstd.Decoder }

func (c zstdCodec) Decode(dst, src []byte) error {
	got, err := c.DecodeAll(src, dst[:0:len(dst)])
	if err == nil && len(got) != len(dst) {
		err = fmt.Errorf("zstd: got %d bytes, want %d", len(got), len(dst))
	}
	return err
}

// A run-length block of 4 bytes stands for at most 128 KiB (RFC 8878, 3.1.1.2).
func (zstdCodec) MaxRatio() int64 { return 128 << 10 / 4 }

type lz4Codec struct{}

func (lz4Codec) Decode(dst, src []byte) error {
	_, err := io.ReadFull(lz4.NewReader(bytes.NewReader(src)), dst)
	return err
}

// A byte of a match's length stands for at most 255 bytes (LZ4 block format).
func (lz4Codec) MaxRatio() int64 { return 255 }

func (lz4Codec) Close() {}
