// Package shard is what the parts of ingest agree on. A source (packages local,
// httpfile, s3 and stdin) knows where bytes come from and offers Objects; a format (packages tarshard,
// parquetshard, arrowshard and folder) knows what they mean and makes Shards of them; package ingest
// puts the Samples of all shards in order. A new source or format meets these
// interfaces and changes nothing else.
package shard

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"
)

// A Sample is an image of a shard with what belongs to it.
type Sample struct {
	// Key names the sample inside its shard. It is empty where the shard is
	// the sample.
	Key string
	// Offset is the byte of the unpacked shard at which the sample begins, of
	// a table the row.
	Offset int64
	// Label is the class, if HasLabel.
	Label    int64
	HasLabel bool
	// Size is the length of the image file in bytes, 0 with a Damage.
	Size int64
	// Image is the file, or nil if it is to be fetched from At. pooled says that
	// its memory is the pool's, see Recycle.
	Image  []byte
	pooled bool
	// At is the byte of the object, once unpacked if it is packed as a whole, at which
	// the image file begins, -1 if it cannot be read by itself.
	At int64
	// Packed is how many bytes from At on hold the image file as Snappy has compressed
	// it, and Lead how many bytes of what they unpack to come before it (see package
	// fragment); 0 where it stands as it is.
	Packed, Lead int64
	// Damage is why the sample cannot be used, nil for a good one.
	Damage *Damage
}

// StoredSize is how many bytes of the object from At on hold the image file.
func (s *Sample) StoredSize() int64 {
	if s.Packed > 0 {
		return s.Packed
	}
	return s.Size
}

// Damage says what is wrong with a sample, or with a shard from a sample on.
type Damage struct {
	Key    string // of the sample; "" before the first
	Offset int64  // byte of the unpacked shard
	What   string // the operation that failed, as "read" or "label"
	Why    error
}

// Error returns "key@offset: what: why".
func (d *Damage) Error() string {
	return fmt.Sprintf("%s@%d: %s: %v", d.Key, d.Offset, d.What, d.Why)
}

// Unwrap returns the cause.
func (d *Damage) Unwrap() error { return d.Why }

// A Shard is a set of samples that are read one after the other. It is safe
// for concurrent use.
type Shard interface {
	// Name is the path below the source's root, with slashes. Shards are
	// sorted by it and it begins the ids of its samples.
	Name() string
	// Format names the container: "tar", "tar.gz", "tar.zst", "parquet",
	// "arrow" or "image".
	Format() string
	// Size is the length in bytes, as stored, -1 if it is not known.
	Size() int64
	// Open begins to read at the first sample. ctx lasts for the whole reading.
	Open(ctx context.Context) (Reader, error)
	// OpenAt gives access to the images of samples that came without theirs.
	OpenAt(ctx context.Context) (Fetcher, error)
	// CheapToScan tells whether all samples can be passed over without
	// reading their images.
	CheapToScan() bool
}

// A Counted shard tells how many samples it has without reading them.
type Counted interface {
	CountSamples(ctx context.Context) (int, error)
}

// A Reader walks through a shard. It is used by one goroutine.
type Reader interface {
	// Next returns the next sample, io.EOF after the last. A sample that
	// breaks the format's rules comes with its Damage and reading goes on. A
	// *Damage as error means that the rest of the shard cannot be read.
	Next() (Sample, error)
	io.Closer
}

// A Fetcher reads the images of samples in any order. It is used by one
// goroutine.
type Fetcher interface {
	// Fetch fills dst, Size bytes long, with the sample's image.
	Fetch(s *Sample, dst []byte) error
	io.Closer
}

// Printable returns a name as valid UTF-8, which ids have to be: other bytes
// are written as \xNN.
func Printable(name string) string {
	if utf8.ValidString(name) {
		return name
	}
	quoted := strconv.Quote(name)
	return quoted[1 : len(quoted)-1]
}
