package remote

import (
	"context"
	"io"

	"clpipe/ingest/shard"
)

// A Request asks for bytes of a file.
type Request struct {
	From int64 // first byte
	To   int64 // last byte, -1 for all that follow
	// Version is what must not have changed, "" if it is not known.
	Version string
}

// A Response is the answer. The caller closes the body.
type Response struct {
	Body    io.ReadCloser
	From    int64  // first byte of the body: 0 from a server that sends the whole file whatever was asked
	Size    int64  // bytes of the whole file, -1 if the server does not say
	Version string // an ETag, "" if the server gives none
}

// Object is a remote file. It is a shard.Object, whose errors are *Error.
type Object struct {
	// Link is shared by all files of the server.
	Link *Link
	// Get makes one request. Errors that are no *Failure are taken for the
	// network's.
	Get func(ctx context.Context, r Request) (*Response, error)
	// Where names the file in errors, without credentials and query.
	Where string
	// Identity tells the file from all others of the same version and length,
	// as Where does unless the query decides, too. It is not shown.
	Identity string
	// Below is the path below the source's root.
	Below string
	// Bytes is the length, -1 if it is not known.
	Bytes int64
	// Version is the file's when it was listed, "" if it is not known.
	Version string
	// Ranges tells whether the server sends parts of the file, whose length is
	// then known. If not, a file that was cut off is read again from its
	// beginning up to where it was.
	Ranges bool
}

// Name returns the path below the source's root.
func (o *Object) Name() string { return o.Below }

// Size returns the length in bytes, -1 if it is not known.
func (o *Object) Size() int64 { return o.Bytes }

// Open reads from offset on. The first request is made by the first Read.
func (o *Object) Open(ctx context.Context, offset int64) (io.ReadCloser, error) {
	return &stream{ctx: ctx, obj: o, offset: offset, size: o.Bytes, end: -1, version: o.Version}, nil
}

// OpenRange reads the bytes from one offset up to another, which lie in the
// object. Where the server sends no parts, those before are read and dropped.
func (o *Object) OpenRange(ctx context.Context, from, to int64) (io.ReadCloser, error) {
	return &stream{ctx: ctx, obj: o, offset: from, size: o.Bytes, end: to, version: o.Version}, nil
}

// A File is an Object, or one around which something else stands.
type File interface {
	shard.Object
	Remote() *Object
}

// Remote returns the object itself.
func (o *Object) Remote() *Object { return o }
