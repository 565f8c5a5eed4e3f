package imagecodec

import (
	"bytes"
	"fmt"
)

// lookupBits is the code length up to which one table access decodes a code.
// At 10 a table takes 4 KB; two AC tables and the data stay in the L1 cache.
const lookupBits = 10

// code is one decoded Huffman code of a coefficient: what follows from the
// code alone. The low byte is the number of bits of the code and of the value
// behind it, the next the number of bits of the code, the third the symbol:
// run of zeros (4 bits) and bits of the value (4 bits), T.81 F.1.2. Zero is
// no code.
type code uint32

func newCode(length int, symbol byte) code {
	return code(symbol)<<16 | code(length)<<8 | code(length+int(symbol&15))
}

func (c code) total() uint  { return uint(c & 63) }
func (c code) length() uint { return uint(c >> 8 & 63) }
func (c code) size() uint   { return uint(c >> 16 & 15) }
func (c code) run() int     { return int(c >> 20) }

// badCode stands for bits that are no code of the table: libjpeg takes 17 of
// them and goes on with symbol 0.
var badCode = newCode(17, 0)

// huffmanTable decodes the codes of one DHT table.
type huffmanTable struct {
	defined bool
	built   bool
	counts  [16]byte // number of codes of each length, from 1
	symbols [256]byte

	lookup [1 << lookupBits]code // by the next bits; zero if the code is longer
	// For longer codes: those of length n are the 16-bit prefixes below
	// limit[n], and the symbol is at the code plus offset[n].
	limit  [17]uint32
	offset [17]int32

	// Of the AC tables of sequential scans.
	steps                  [1 << stepBits]step
	stepsBuilt, pairsBuilt bool
	kept                   bool // the table has served a file before
}

// define takes the table as it stands in the file. The same tables come again
// in file after file, so what was derived from equal ones is kept.
func (t *huffmanTable) define(counts, symbols []byte) {
	t.defined = true
	if t.built && bytes.Equal(t.counts[:], counts) && bytes.Equal(t.symbols[:len(symbols)], symbols) {
		t.kept = true
		return
	}
	t.built, t.kept = false, false
	copy(t.counts[:], counts)
	copy(t.symbols[:], symbols)
}

// build derives the lookup tables, T.81 annex C. The rules are libjpeg's: codes
// fit their length and none is all ones; symbols of a DC table are at most 15.
func (t *huffmanTable) build(dc bool) error {
	if t.built {
		return nil
	}
	clear(t.lookup[:])
	next, at := 0, 0 // next code, its symbol's place
	for length := 1; length <= 16; length++ {
		t.offset[length] = int32(at - next)
		for range t.counts[length-1] {
			symbol := t.symbols[at]
			if dc && symbol > 15 {
				return fmt.Errorf("dc symbol %d: got %d, want at most 15", at, symbol)
			}
			if length <= lookupBits {
				first := next << (lookupBits - length)
				if first+1<<(lookupBits-length) <= len(t.lookup) {
					entries := t.lookup[first : first+1<<(lookupBits-length)]
					for i := range entries {
						entries[i] = newCode(length, symbol)
					}
				}
			}
			next++
			at++
		}
		if next >= 1<<length {
			return fmt.Errorf("codes of length %d: got %d, want at most %d", length, next, 1<<length-1)
		}
		t.limit[length] = uint32(next) << (16 - length)
		next <<= 1
	}
	t.built, t.stepsBuilt, t.pairsBuilt = true, false, false
	return nil
}

// long decodes a code of more than lookupBits bits from the next bits, left
// aligned.
func (t *huffmanTable) long(bits uint64) code {
	prefix := uint32(bits >> 48)
	for length := lookupBits + 1; length <= 16; length++ {
		if prefix < t.limit[length] {
			at := int32(prefix>>(16-length)) + t.offset[length]
			return newCode(length, t.symbols[at&255])
		}
	}
	return badCode
}

// defineMissing sets the tables of T.81 annex K where a sequential file has
// none, as Motion JPEG frames do.
func (d *jpegDecoder) defineMissing() {
	for i, t := range standardTables {
		if !d.dcTables[i].defined {
			d.dcTables[i].define(t.dcCounts, t.dcSymbols)
		}
		if !d.acTables[i].defined {
			d.acTables[i].define(t.acCounts, t.acSymbols)
		}
	}
}

// standardTables are the tables of T.81 K.3.1 and K.3.2, luminance and
// chrominance.
var standardTables = [2]struct{ dcCounts, dcSymbols, acCounts, acSymbols []byte }{
	{
		dcCounts:  []byte{0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0},
		dcSymbols: []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11},
		acCounts:  []byte{0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125},
		acSymbols: []byte("\x01\x02\x03\x00\x04\x11\x05\x12\x21\x31\x41\x06\x13\x51\x61\x07" +
			"\x22\x71\x14\x32\x81\x91\xa1\x08\x23\x42\xb1\xc1\x15\x52\xd1\xf0" +
			"\x24\x33\x62\x72\x82\x09\x0a\x16\x17\x18\x19\x1a\x25\x26\x27\x28" +
			"\x29\x2a\x34\x35\x36\x37\x38\x39\x3a\x43\x44\x45\x46\x47\x48\x49" +
			"\x4a\x53\x54\x55\x56\x57\x58\x59\x5a\x63\x64\x65\x66\x67\x68\x69" +
			"\x6a\x73\x74\x75\x76\x77\x78\x79\x7a\x83\x84\x85\x86\x87\x88\x89" +
			"\x8a\x92\x93\x94\x95\x96\x97\x98\x99\x9a\xa2\xa3\xa4\xa5\xa6\xa7" +
			"\xa8\xa9\xaa\xb2\xb3\xb4\xb5\xb6\xb7\xb8\xb9\xba\xc2\xc3\xc4\xc5" +
			"\xc6\xc7\xc8\xc9\xca\xd2\xd3\xd4\xd5\xd6\xd7\xd8\xd9\xda\xe1\xe2" +
			"\xe3\xe4\xe5\xe6\xe7\xe8\xe9\xea\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8" +
			"\xf9\xfa"),
	},
	{
		dcCounts:  []byte{0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0},
		dcSymbols: []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11},
		acCounts:  []byte{0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 119},
		acSymbols: []byte("\x00\x01\x02\x03\x11\x04\x05\x21\x31\x06\x12\x41\x51\x07\x61\x71" +
			"\x13\x22\x32\x81\x08\x14\x42\x91\xa1\xb1\xc1\x09\x23\x33\x52\xf0" +
			"\x15\x62\x72\xd1\x0a\x16\x24\x34\xe1\x25\xf1\x17\x18\x19\x1a\x26" +
			"\x27\x28\x29\x2a\x35\x36\x37\x38\x39\x3a\x43\x44\x45\x46\x47\x48" +
			"\x49\x4a\x53\x54\x55\x56\x57\x58\x59\x5a\x63\x64\x65\x66\x67\x68" +
			"\x69\x6a\x73\x74\x75\x76\x77\x78\x79\x7a\x82\x83\x84\x85\x86\x87" +
			"\x88\x89\x8a\x92\x93\x94\x95\x96\x97\x98\x99\x9a\xa2\xa3\xa4\xa5" +
			"\xa6\xa7\xa8\xa9\xaa\xb2\xb3\xb4\xb5\xb6\xb7\xb8\xb9\xba\xc2\xc3" +
			"\xc4\xc5\xc6\xc7\xc8\xc9\xca\xd2\xd3\xd4\xd5\xd6\xd7\xd8\xd9\xda" +
			"\xe2\xe3\xe4\xe5\xe6\xe7\xe8\xe9\xea\xf2\xf3\xf4\xf5\xf6\xf7\xf8" +
			"\xf9\xfa"),
	},
}
