package fragment

import (
	"bytes"
	"encoding/binary"
	"os"
	"slices"
	"testing"

	"github.com/apache/arrow/go/v15/parquet/compress"
	"github.com/klauspost/compress/snappy"
)

// text is what testdata/make_block.py compresses.
func text() []byte {
	var out []byte
	for state := uint32(1); len(out) < 200_000; {
		state = (1103515245*state + 12345) % (1 << 31)
		times := 25
		if state>>16&7 == 0 {
			times = 1
		}
		out = append(out, bytes.Repeat(binary.LittleEndian.AppendUint32(nil, state), times)...)
	}
	return out[:200_000]
}

// block is that, compressed by Google's Snappy.
func block(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/block.snappy")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// encode is the Snappy of Arrow's library.
func encode(t testing.TB, b []byte) []byte {
	t.Helper()
	codec, err := compress.GetCodec(compress.Codecs.Snappy)
	if err != nil {
		t.Fatal(err)
	}
	return codec.Encode(nil, b)
}

// TestPartsOfABlock unpacks parts within fragments and over several.
func TestPartsOfABlock(t *testing.T) {
	want := text()
	for name, packed := range map[string][]byte{"Google's": block(t), "Go's": encode(t, want)} {
		starts, err := Find(packed)
		if err != nil || len(starts) != 5 || starts[4] != len(packed) {
			t.Fatalf("%s: got fragments %v, %v, want 4", name, starts, err)
		}
		for _, from := range []int{0, 1, 5000, Size - 1, Size, Size + 1, 2*Size - 7, 3 * Size, len(want) - 1} {
			for _, n := range []int{1, 7, 1000, Size, Size + 1, 2*Size + 5} {
				if from+n > len(want) {
					continue
				}
				first, last := from/Size, (from+n-1)/Size
				got := make([]byte, n)
				if err := Unpack(got, packed[starts[first]:starts[last+1]], from%Size); err != nil || !bytes.Equal(got, want[from:][:n]) {
					t.Errorf("%s: %d bytes from %d: differ, %v", name, n, from, err)
				}
			}
		}
		if err := Unpack(make([]byte, 10), packed[starts[3]:], len(want)-3*Size-9); err == nil {
			t.Errorf("%s: more than there is: got no error", name)
		}
	}
}

// TestBlocksWithoutFragments refuses what an encoder makes that copies from farther.
func TestBlocksWithoutFragments(t *testing.T) {
	far := bytes.Repeat(text()[:Size-100], 3)
	packed := snappy.Encode(nil, far)
	if starts, err := Find(packed); err != errWhole {
		t.Errorf("got %v, %v, want %v", starts, err, errWhole)
	}
	long := append(binary.AppendUvarint(nil, Size+1), 62<<2, 0, 0, 1) // a literal over the end
	if starts, err := Find(append(long, make([]byte, Size+1)...)); err != errWhole {
		t.Errorf("got %v, %v, want %v", starts, err, errWhole)
	}
	for _, damaged := range [][]byte{nil, {0x80}, {5}, packed[:len(packed)-1], {3, 1, 1}, {3, 3 << 2, 1}} {
		if starts, err := Find(damaged); err == nil {
			t.Errorf("% x: got %v and no error", damaged[:min(len(damaged), 8)], starts)
		}
	}
	if starts, err := Find([]byte{0}); err != nil || !slices.Equal(starts, []int{1}) {
		t.Errorf("nothing: got %v, %v", starts, err)
	}
}

// FuzzFragments holds a block that has fragments to what Snappy's decoder says of it.
func FuzzFragments(f *testing.F) {
	f.Add(block(f), 3)
	f.Add([]byte("\x05\x10hello"), 1)
	f.Add([]byte("\x09\x04ab\x15\x02"), 1)
	f.Add([]byte("\x0c\x04ab\x26\x02\x00"), 1)
	f.Add([]byte("\x0c\x04ab\x27\x02\x00\x00\x00"), 1)
	f.Fuzz(func(t *testing.T, packed []byte, from int) {
		starts, err := Find(packed)
		if n, sizeErr := snappy.DecodedLen(packed); err != nil || sizeErr != nil || n > 1<<20 {
			_ = Unpack(make([]byte, 100), packed, 0)
			return
		}
		want, err := snappy.Decode(nil, packed)
		if err != nil {
			t.Fatalf("fragments %v of what is no block: %v", starts, err)
		}
		if from < 0 || from >= len(want) {
			return
		}
		got := make([]byte, len(want)-from)
		if err := Unpack(got, packed[starts[from/Size]:], from%Size); err != nil || !bytes.Equal(got, want[from:]) {
			t.Fatalf("from %d of %d: differs, %v", from, len(want), err)
		}
	})
}
