package parquetshard

import (
	"clpipe/ingest/fragment"
	"clpipe/ingest/shard"

	"github.com/apache/arrow/go/v15/parquet/compress"
)

// findable is a page whose values can be found in the file.
type findable struct {
	values shard.Stored // unpacked, placed where they are stored
	starts []int        // of Snappy's fragments in what is stored; nil: it is not packed
}

// keep keeps a page to find values in: not one that is packed as a whole.
func (p *pages) keep(kind, at int64, stored, values []byte, packed bool) {
	page := findable{values: shard.Stored{Bytes: values, At: at}}
	if packed {
		if p.codec != compress.Codecs.Snappy {
			return
		}
		var err error
		if page.starts, err = fragment.Find(stored); err != nil {
			return // the page was unpacked as a whole
		}
	}
	if kind == dictionaryPage {
		p.dictionary = page
	} else {
		p.last = page
	}
}

// find tells a sample where in the file its image stands, which is one of the values
// that the column reader has returned last.
func (p *pages) find(s *shard.Sample, image []byte) {
	for _, page := range []*findable{&p.last, &p.before, &p.dictionary} {
		at := page.values.Place(image)
		if at < 0 {
			continue
		}
		s.At = at
		if page.starts != nil {
			from := at - page.values.At
			last := from + int64(len(image)) - 1
			first := int64(page.starts[from/fragment.Size])
			s.At, s.Lead = page.values.At+first, from%fragment.Size
			s.Packed = int64(page.starts[last/fragment.Size+1]) - first
		}
		return
	}
}
