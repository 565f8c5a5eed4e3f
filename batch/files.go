package batch

import (
	"encoding/binary"
	"math/bits"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// filesBuilder builds the column of encoded images. Arrow's BinaryBuilder would
// double its memory from a few bytes on for every record and zero it each time,
// which costs as much as receiving the images does; here the memory of released
// records is used again.
type filesBuilder struct {
	mem     memory.Allocator
	blocks  *recycler
	values  *memory.Buffer // nil: no file since the last column
	bytes   int            // of values in use
	offsets []byte         // int32, the ends of the files
}

func newFilesBuilder(mem memory.Allocator) filesBuilder {
	return filesBuilder{mem: mem, blocks: &recycler{Allocator: mem}}
}

func (b *filesBuilder) len() int { return len(b.offsets) / arrow.Int32SizeBytes }

// reserve makes room for so many bytes more. The length of a block is one of
// eight an octave, so that the next record of about the size fits in it.
func (b *filesBuilder) reserve(n int) {
	if b.values == nil {
		b.values = memory.NewResizableBuffer(b.blocks)
	}
	if need := b.bytes + n; need > b.values.Cap() {
		if b.bytes > 0 {
			need = max(need, 2*b.bytes) // nobody had said how much would come
		}
		step := 1 << max(bits.Len(uint(need-1))-4, 0)
		b.values.Reserve((need + step - 1) &^ (step - 1))
	}
}

func (b *filesBuilder) append(file []byte) {
	b.reserve(len(file))
	b.bytes += copy(b.values.Buf()[b.bytes:], file)
	b.offsets = binary.LittleEndian.AppendUint32(b.offsets, uint32(b.bytes))
}

// newArray returns the column and begins anew. The caller releases it.
func (b *filesBuilder) newArray() arrow.Array {
	n := b.len()
	offsets := memory.NewResizableBuffer(b.mem)
	offsets.Resize((n + 1) * arrow.Int32SizeBytes)
	clear(offsets.Bytes()[:arrow.Int32SizeBytes])
	copy(offsets.Bytes()[arrow.Int32SizeBytes:], b.offsets)
	if b.values != nil {
		b.values.ResizeNoShrink(b.bytes)
	}
	data := array.NewData(arrow.BinaryTypes.Binary, n, []*memory.Buffer{nil, offsets, b.values}, nil, 0, 0)
	offsets.Release()
	b.drop()
	defer data.Release()
	return array.NewBinaryData(data)
}

// drop lets go of the files gathered.
func (b *filesBuilder) drop() {
	if b.values != nil {
		b.values.Release()
	}
	b.values, b.bytes, b.offsets = nil, 0, b.offsets[:0]
}

func (b *filesBuilder) release() {
	b.drop()
	b.blocks.close()
}
