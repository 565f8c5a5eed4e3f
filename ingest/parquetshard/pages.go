package parquetshard

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/compress"
	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/schema"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// maxPage bounds a page, compressed or not: writers of images put up to some
// hundred MB in one.
const maxPage = 1 << 30

// lz4Raw is LZ4_RAW of parquet.thrift, which Arrow v15 does not name.
const lz4Raw compress.Compression = 7

// Types of page: enum PageType of parquet.thrift.
const (
	dataPage       = 0
	dictionaryPage = 2
	dataPageV2     = 3
)

// pageHeader is struct PageHeader of parquet.thrift, with the fields of the
// data and dictionary headers in it.
type pageHeader struct {
	kind                     int64
	size, stored             int64 // bytes uncompressed and as stored
	crc                      int64 // -1: none
	values, nulls, rows      int64
	encoding, defEncoding    int64
	repEncoding              int64
	defLevels, repLevels     int64 // bytes, of version 2
	compressed, headerExists bool
}

func parsePageHeader(c *compact) pageHeader {
	h := pageHeader{crc: -1, compressed: true}
	inner := func(places ...*int64) func(id int, kind byte) {
		return func(id int, kind byte) {
			if id >= 1 && id <= len(places) && places[id-1] != nil && kind == compactI32 {
				*places[id-1] = c.int()
				return
			}
			if id == 7 && len(places) == 6 {
				h.compressed = kind == compactTrue
			}
			c.skip(kind, 2)
		}
	}
	c.fields(func(id int, kind byte) {
		switch {
		case id == 1 && kind == compactI32:
			h.kind = c.int()
		case id == 2 && kind == compactI32:
			h.size = c.int()
		case id == 3 && kind == compactI32:
			h.stored = c.int()
		case id == 4 && kind == compactI32:
			h.crc = int64(uint32(c.int()))
		case kind == compactStruct && (id == 5 && h.kind == dataPage):
			h.headerExists = true
			c.fields(inner(&h.values, &h.encoding, &h.defEncoding, &h.repEncoding))
		case kind == compactStruct && (id == 7 && h.kind == dictionaryPage):
			h.headerExists = true
			c.fields(inner(&h.values, &h.encoding))
		case kind == compactStruct && (id == 8 && h.kind == dataPageV2):
			h.headerExists = true
			c.fields(inner(&h.values, &h.nulls, &h.rows, &h.encoding, &h.defLevels, &h.repLevels))
		default:
			c.skip(kind, 1)
		}
	})
	return h
}

// pages hands the pages of a column chunk to Arrow's column reader. It is a
// file.PageReader.
type pages struct {
	src     *bufio.Reader
	column  *schema.Column
	end     int64 // byte of the file at which the chunk ends
	left    int64 // bytes of it
	values  int64 // that are still to come
	entries int64 // of the dictionary
	places  bool  // its values are to be found in the file
	codec   compress.Compression
	zstd    *zstd.Decoder // nil until needed

	page file.Page
	err  error

	// Pages of values that can be found in the file: of the dictionary, and of data the
	// one read last and that before it, from which the last value comes when Arrow's
	// reader has gone on already.
	dictionary, last, before findable
}

// headerSizes are how much is looked at for a page's header, which may hold
// statistics, until it is whole.
var headerSizes = []int{256, 16 << 10, 1 << 20}

// Next implements file.PageReader.
func (p *pages) Next() bool {
	p.page = nil
	for p.err == nil && p.values > 0 {
		p.page, p.err = p.read()
		if p.page != nil {
			return true
		}
	}
	return false
}

// Page implements file.PageReader.
func (p *pages) Page() file.Page { return p.page }

// Err implements file.PageReader.
func (p *pages) Err() error { return p.err }

// SetMaxPageHeaderSize implements file.PageReader.
func (p *pages) SetMaxPageHeaderSize(int) {}

// Reset implements file.PageReader; nothing calls it.
func (p *pages) Reset(parquet.BufferedReader, int64, compress.Compression, *file.CryptoContext) {}

// read returns the next page, nil for one of a kind that is passed over.
func (p *pages) read() (file.Page, error) {
	h, err := p.header()
	if err != nil {
		return nil, err
	}
	switch {
	case h.stored < 0 || h.stored > p.left:
		return nil, fmt.Errorf("a page of %d bytes, %d are left of its column", h.stored, p.left)
	case h.size < 0 || h.size > maxPage || h.stored > maxPage:
		return nil, fmt.Errorf("a page of %d bytes, %d as stored, want at most %d", h.size, h.stored, maxPage)
	}
	at := p.end - p.left
	p.left -= h.stored
	if h.kind != dataPage && h.kind != dataPageV2 && h.kind != dictionaryPage {
		_, err := p.src.Discard(int(h.stored))
		return nil, unexpected(err)
	}
	levels := h.defLevels + h.repLevels
	switch {
	case !h.headerExists:
		return nil, errors.New("a page has no header of its kind")
	case h.kind != dictionaryPage && (h.values < 0 || h.values > p.values), h.values < 0 || h.values > 1<<31-1:
		return nil, fmt.Errorf("a page claims %d values, %d are left of its column", h.values, p.values)
	case h.kind == dictionaryPage && h.values > h.size:
		return nil, fmt.Errorf("a dictionary of %d values in %d bytes", h.values, h.size)
	case h.defLevels < 0 || h.repLevels < 0 || levels > h.stored || levels > h.size:
		return nil, fmt.Errorf("a page of %d bytes claims levels of %d and %d bytes", h.stored, h.defLevels, h.repLevels)
	}
	if h.kind != dictionaryPage {
		p.before, p.last = p.last, findable{} // lets go of the page before that first
	}
	stored := make([]byte, h.stored) // no more than the file has
	if _, err := io.ReadFull(p.src, stored); err != nil {
		return nil, unexpected(err)
	}
	if h.crc >= 0 && int64(crc32.ChecksumIEEE(stored)) != h.crc {
		return nil, fmt.Errorf("a page's checksum is %08x, want %08x: its bytes have changed", crc32.ChecksumIEEE(stored), h.crc)
	}
	body := stored
	packed := p.codec != compress.Codecs.Uncompressed && (h.kind != dataPageV2 || h.compressed)
	if packed { // of version 2 the levels are not
		values, err := p.unpack(stored[levels:], h.size-levels)
		if err != nil {
			return nil, err
		}
		if body = values; levels > 0 {
			body = append(bytes.Clone(stored[:levels]), values...)
		}
	}
	if int64(len(body)) != h.size {
		return nil, fmt.Errorf("a page of %d bytes, want %d", len(body), h.size)
	}
	if p.places {
		p.keep(h.kind, at+levels, stored[levels:], body[levels:], packed)
	}
	if h.kind != dictionaryPage {
		if err := checkPage(&h, body, p.column, p.entries); err != nil {
			return nil, err
		}
	}
	buf, encoding := memory.NewBufferBytes(body), parquet.Encoding(h.encoding)
	switch h.kind {
	case dictionaryPage:
		p.entries = h.values
		return file.NewDictionaryPage(buf, int32(h.values), encoding), nil
	case dataPageV2:
		p.values -= h.values
		return file.NewDataPageV2(buf, int32(h.values), int32(h.nulls), int32(h.rows), encoding, int32(h.defLevels), int32(h.repLevels), int32(h.size), h.compressed), nil
	}
	p.values -= h.values
	return file.NewDataPageV1(buf, int32(h.values), encoding, parquet.Encoding(h.defEncoding), parquet.Encoding(h.repEncoding), int32(h.size)), nil
}

// header reads a page's header.
func (p *pages) header() (pageHeader, error) {
	for i, size := range headerSizes {
		view, err := p.src.Peek(int(min(int64(size), p.left)))
		if err != nil && !errors.Is(err, io.EOF) {
			return pageHeader{}, err
		}
		if len(view) == 0 {
			return pageHeader{}, fmt.Errorf("the column ends with %d values missing", p.values)
		}
		c := compact{src: view}
		h := parsePageHeader(&c)
		if c.err == nil {
			p.left -= int64(c.at)
			_, err := p.src.Discard(c.at)
			return h, err
		}
		if c.err != errShort || i == len(headerSizes)-1 || len(view) < size {
			return pageHeader{}, fmt.Errorf("a page's header is damaged: %w", c.err)
		}
	}
	panic("not reached: the last size returns")
}

// unpack returns the size bytes that src was made of.
func (p *pages) unpack(src []byte, size int64) ([]byte, error) {
	if len(src) == 0 && size == 0 { // of a page of nothing but nulls, whatever packed it
		return src, nil
	}
	// How many times its own size a block can grow at most: by the formats'
	// longest matches, zstd by a block of 128 KiB in 4 bytes.
	limits := map[compress.Compression]int64{compress.Codecs.Snappy: 32, compress.Codecs.Gzip: 1032, compress.Codecs.Zstd: 1 << 15, lz4Raw: 255}
	ratio, known := limits[p.codec]
	if !known {
		return nil, fmt.Errorf("compression %v is not supported, want none, snappy, gzip, zstd or lz4_raw", p.codec)
	}
	if size > int64(len(src))*ratio {
		return nil, fmt.Errorf("%d compressed bytes claim to be %d", len(src), size)
	}
	dst := make([]byte, size)
	switch p.codec {
	case compress.Codecs.Snappy:
		if n, err := snappy.DecodedLen(src); err != nil || int64(n) != size {
			return nil, fmt.Errorf("snappy: %d bytes, want %d (%w)", n, size, orForm(err))
		}
		return snappy.Decode(dst, src)
	case compress.Codecs.Gzip:
		z, err := gzip.NewReader(bytes.NewReader(src))
		if err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		defer z.Close()
		if _, err := io.ReadFull(z, dst); err != nil {
			return nil, fmt.Errorf("gzip: %w", unexpected(err))
		}
		// The checksum is compared behind the last byte.
		if _, err := io.ReadFull(z, make([]byte, 1)); !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("gzip: %w", orForm(err))
		}
		return dst, nil
	case compress.Codecs.Zstd:
		if p.zstd == nil {
			var err error
			if p.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true)); err != nil {
				return nil, err
			}
		}
		return p.zstd.DecodeAll(src, dst[:0])
	default:
		n, err := lz4.UncompressBlock(src, dst)
		return dst[:max(n, 0)], err
	}
}

func (p *pages) close() {
	if p.zstd != nil {
		p.zstd.Close()
	}
}

func orForm(err error) error {
	if err == nil {
		return errors.New("the lengths differ")
	}
	return err
}

// unexpected is the error of a file that ends too soon; io.EOF would look like
// a proper end.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
