package index

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"clpipe/ingest/fragment"
	"clpipe/ingest/shard"
)

// Version is that of the form in which indexes are written. Its schema's metadata
// call an index index/VERSION; those of VersionArchives on are read.
const (
	VersionArchives = 1 // has places of images in archives only
	VersionTables   = 2 // also in tables
	Version         = VersionTables
)

// kindOf is what the schema's metadata call an index of a version.
func kindOf(version int) string { return fmt.Sprintf("index/%d", version) }

// Name is that of the index of a set, where none is given, in the folder that is
// the root of the set's names. Listings leave it out.
const Name = ".clpipe-index.arrow"

// Shard is what an index says of a shard.
type Shard struct {
	Name    string
	Format  string
	Bytes   int64  // as stored
	SHA256  string // in hex, of the stored bytes
	Address string // of a remote shard, without credentials and query; "" for others
	ETag    string // its version there, "" if there is none
	// Ranged tells whether every image can be read by itself.
	Ranged bool
}

// Sample is what an index says of a sample.
type Sample struct {
	Key      string
	Offset   int64 // byte of the unpacked shard, of a table the row
	At       int64 // byte of the stored shard at which the image begins, -1 if it cannot be read by itself
	Size     int64 // bytes of the image file, 0 with a Damage
	Packed   int64 // bytes from At on that Snappy has made of it and its neighbours, 0 where it stands as it is
	Lead     int64 // bytes of what they unpack to that come before it
	CRC32C   uint32
	Label    int64
	HasLabel bool
	// W and H are pixels, and Format that of the image file; 0 and "" where its
	// header cannot be read.
	W, H   int
	Format string
	Damage string // "what: why" it cannot be used, "" for a good one
}

// Index is a set of shards with their samples, held in memory: some 48 bytes a
// sample and its key. It is safe for concurrent use.
type Index struct {
	shards []Shard
	first  []int // place of each shard's first sample, and the number of all
	rows   []row
	keys   string
	damage map[int]string // by place

	version int
	packed  bool
}

// Packed tells whether it has images that are packed.
func (x *Index) Packed() bool { return x.packed }

// Version returns the version in which the index was written.
func (x *Index) Version() int { return x.version }

// row is a sample of an Index.
type row struct {
	at, offset int64
	label      int64
	keyEnd     int64 // in keys, where that of the row before ends
	size       uint32
	crc32c     uint32
	packed     uint32
	lead       uint16 // less than fragment.Size
	hasLabel   bool
}

// Shards returns the shards, sorted by name. The caller changes nothing.
func (x *Index) Shards() []Shard { return x.shards }

// Find returns the place of a shard, ok false if it is not in the index.
func (x *Index) Find(name string) (place int, ok bool) {
	return sort.Find(len(x.shards), func(i int) int {
		switch s := x.shards[i].Name; {
		case name < s:
			return -1
		case name > s:
			return 1
		}
		return 0
	})
}

// Samples returns how many samples a shard has.
func (x *Index) Samples(shard int) int { return x.first[shard+1] - x.first[shard] }

// Sample returns the i-th sample of a shard and the CRC-32C of its image.
func (x *Index) Sample(place, i int) (s shard.Sample, crc32c uint32) {
	at := x.first[place] + i
	r := &x.rows[at]
	start := int64(0)
	if at > 0 {
		start = x.rows[at-1].keyEnd
	}
	s = shard.Sample{
		Key: x.keys[start:r.keyEnd], Offset: r.offset, At: r.at, Size: int64(r.size), Packed: int64(r.packed), Lead: int64(r.lead), Label: r.label, HasLabel: r.hasLabel,
	}
	if why, bad := x.damage[at]; bad {
		what, why, _ := strings.Cut(why, ": ")
		s.Damage = &shard.Damage{Key: s.Key, Offset: s.Offset, What: what, Why: damageError(why)}
	}
	return s, r.crc32c
}

// damageError is the damage an index tells of.
type damageError string

func (e damageError) Error() string { return string(e) }

// MemoryBytes is what the samples take.
func (x *Index) MemoryBytes() int64 { return int64(len(x.rows))*rowBytes + int64(len(x.keys)) }

const rowBytes = 48

// check returns what is wrong with a shard that follows those of x.
func (x *Index) check(s *Shard) error {
	last := len(x.shards) - 1
	switch {
	case last >= 0 && s.Name <= x.shards[last].Name:
		return fmt.Errorf("shard %.200q follows %.200q: want them sorted, each once", s.Name, x.shards[last].Name)
	case s.Bytes < 0:
		return fmt.Errorf("shard %.200q has %d bytes", s.Name, s.Bytes)
	}
	return nil
}

// checkSample returns what is wrong with a sample of a shard.
func checkSample(of *Shard, s *Sample) error {
	const most = 1<<32 - 1
	switch {
	case s.Damage != "" && s.Size == 0:
		return nil
	case s.Damage != "" || s.Size < 1 || s.Size > most:
		return fmt.Errorf("shard %.200q: sample %.200q has %d bytes", of.Name, s.Key, s.Size)
	case s.Offset < 0:
		return fmt.Errorf("shard %.200q: sample %.200q begins at %d", of.Name, s.Key, s.Offset)
	case s.Packed < 0 || s.Packed > most || s.Lead < 0 || s.Lead >= fragment.Size || s.Packed == 0 && s.Lead > 0:
		return fmt.Errorf("shard %.200q: sample %.200q is packed in %d bytes, behind %d others", of.Name, s.Key, s.Packed, s.Lead)
	}
	stored := s.Size
	if s.Packed > 0 {
		stored = s.Packed
	}
	if s.At >= 0 && (s.At > of.Bytes || stored > of.Bytes-s.At) {
		return fmt.Errorf("shard %.200q: the image of sample %.200q spans %d bytes from %d of a shard of %d", of.Name, s.Key, stored, s.At, of.Bytes)
	}
	return nil
}

// build collects shards for an Index.
type build struct {
	Index
	keys []byte
}

// add appends a shard. Its samples follow.
func (b *build) add(s Shard) error {
	if err := b.check(&s); err != nil {
		return err
	}
	s.Ranged = true
	b.shards = append(b.shards, s)
	b.first = append(b.first, len(b.rows))
	return nil
}

// sample appends a sample to the shard added last.
func (b *build) sample(s *Sample) error {
	of := &b.shards[len(b.shards)-1]
	if err := checkSample(of, s); err != nil {
		return err
	}
	if s.Damage != "" {
		if b.damage == nil {
			b.damage = map[int]string{}
		}
		b.damage[len(b.rows)] = s.Damage
	} else if s.At < 0 {
		of.Ranged = false
	}
	b.packed = b.packed || s.Packed > 0
	b.keys = append(b.keys, s.Key...)
	b.rows = append(b.rows, row{s.At, s.Offset, s.Label, int64(len(b.keys)), uint32(s.Size), s.CRC32C, uint32(s.Packed), uint16(s.Lead), s.HasLabel})
	return nil
}

func (b *build) finish() *Index {
	x := b.Index
	x.first = append(x.first, len(x.rows))
	x.keys = string(b.keys)
	x.rows = slices.Clip(x.rows)
	return &x
}
