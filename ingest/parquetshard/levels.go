package parquetshard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/schema"
)

// checkPage looks through what a data page claims: Arrow's reader asks for levels
// that are missing forever, and allocates what deltas and places in the dictionary,
// which has so many entries, make it believe.
func checkPage(h *pageHeader, body []byte, column *schema.Column, entries int64) error {
	values, atLeast := body[h.repLevels+h.defLevels:], h.values
	if deepest := column.MaxDefinitionLevel(); deepest > 0 {
		atLeast = 0 // all may be null
		levels := body[h.repLevels:][:h.defLevels]
		if h.kind == dataPage {
			var err error
			if levels, values, err = splitLevels(h, body); err != nil {
				return err
			}
		}
		n, err := checkRuns(levels, bits.Len16(uint16(deepest)), h.values, uint64(deepest)+1)
		if err != nil {
			return err
		}
		if n < h.values {
			return fmt.Errorf("a page has %d levels of %d", n, h.values)
		}
	}
	lists := 0
	switch parquet.Encoding(h.encoding) {
	case parquet.Encodings.PlainDict, parquet.Encodings.RLEDict:
		if len(values) == 0 {
			return nil // nothing but nulls
		}
		if values[0] > 32 {
			return errRuns
		}
		_, err := checkRuns(values[1:], int(values[0]), h.values, uint64(entries))
		return err
	case parquet.Encodings.DeltaBinaryPacked, parquet.Encodings.DeltaLengthByteArray:
		lists = 1
	case parquet.Encodings.DeltaByteArray:
		lists = 2 // lengths of what is shared and of what is not
	}
	for range lists {
		n, rest, err := passDeltas(values)
		switch {
		case err != nil:
			return err
		case n < atLeast || n > h.values:
			return fmt.Errorf("a page has %d values of %d", n, h.values)
		}
		values = rest
	}
	return nil
}

// splitLevels cuts a page of version 1 where its levels end.
func splitLevels(h *pageHeader, body []byte) (levels, values []byte, err error) {
	if parquet.Encoding(h.defEncoding) != parquet.Encodings.RLE {
		return nil, nil, fmt.Errorf("levels are stored by encoding %d, want RLE (%d)", h.defEncoding, parquet.Encodings.RLE)
	}
	const prefix = 4 // their length
	if len(body) < prefix {
		return nil, nil, fmt.Errorf("a page of %d bytes has no levels", len(body))
	}
	length := int64(binary.LittleEndian.Uint32(body))
	if length > int64(len(body)-prefix) {
		return nil, nil, fmt.Errorf("a page of %d bytes claims levels of %d", len(body), length)
	}
	return body[prefix:][:length], body[prefix+length:], nil
}

// checkRuns looks through numbers of some bits each, in runs of one that is repeated
// or of eights that are packed (parquet-format, Encodings.md, RLE = 3), for a number
// of them, each below a bound. It returns how many there are, at most want.
func checkRuns(runs []byte, width int, want int64, below uint64) (have int64, err error) {
	for have < want && len(runs) > 0 {
		head, n := binary.Uvarint(runs)
		count := int64(head >> 1)
		if n <= 0 || count == 0 || count > 1<<28 {
			return have, errRuns
		}
		runs = runs[n:]
		packed := head&1 == 1
		size := int64(width+7) / 8
		if packed {
			size, count = count*int64(width), 8*count
			if size > int64(len(runs)) { // some writers cut off what nobody reads
				size = int64(len(runs))
				count = 8 * size / int64(width)
			}
		} else if size > int64(len(runs)) {
			return have, errRuns
		}
		different := min(count, want-have)
		if !packed {
			different = 1
		}
		for i := range different {
			if v := numberAt(runs[:size], width, i); v >= below {
				return have, fmt.Errorf("a page has %d where less than %d is possible", v, below)
			}
		}
		have += min(count, want-have)
		runs = runs[size:]
	}
	return have, nil
}

var errRuns = errors.New("a page's levels or places in its dictionary are damaged")

// numberAt returns the i-th of packed numbers of at most 32 bits.
func numberAt(src []byte, width int, i int64) uint64 {
	bit := i * int64(width)
	var window [8]byte
	copy(window[:], src[bit/8:])
	return binary.LittleEndian.Uint64(window[:]) >> (bit % 8) & (1<<width - 1)
}

// maxBlock bounds the deltas of a block: writers put 128 in one.
const maxBlock = 1 << 16

var errDeltas = errors.New("a page's values, stored as differences, are damaged")

// passDeltas passes over numbers that are stored as differences (parquet-format,
// Encodings.md, DELTA_BINARY_PACKED = 5) and returns how many there are.
func passDeltas(src []byte) (count int64, rest []byte, err error) {
	next := func() uint64 {
		v, n := binary.Uvarint(src)
		if n <= 0 {
			err = errDeltas
			return 0
		}
		src = src[n:]
		return v
	}
	block, parts, total := next(), next(), next()
	next() // the first
	if err != nil || block == 0 || block > maxBlock || parts == 0 || block%parts != 0 || block/parts%8 != 0 || total > 1<<31-1 {
		return 0, nil, errDeltas
	}
	for left := int64(total) - 1; left > 0; {
		next() // the least difference
		if err != nil || uint64(len(src)) < parts {
			return 0, nil, errDeltas
		}
		widths := src[:parts]
		src = src[parts:]
		for _, width := range widths {
			if left <= 0 {
				break // parts without values are not stored
			}
			size := int(width) * int(block/parts) / 8
			if size > len(src) {
				return 0, nil, errDeltas
			}
			src = src[size:]
			left -= int64(block / parts)
		}
	}
	return int64(total), src, nil
}
