package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"clpipe/batch"
	"clpipe/ingest/arrowshard"
	"clpipe/ingest/parquetshard"
	"clpipe/ingest/shard"
	"clpipe/ingest/tarshard"
)

// archiveEndings select shards in a directory. What a shard is made of is told
// by its first bytes.
var archiveEndings = []string{".tar", ".tar.gz", ".tgz", ".tar.zst", ".parquet", ".arrow", ".arrows", ".feather"}

func isArchive(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc(archiveEndings, func(e string) bool { return strings.HasSuffix(name, e) })
}

// formatBytes is how much of a shard tells its format.
const formatBytes = 8

// newShard returns the shard that obj holds. One that allows random access is
// looked at now, others when they are opened, since each request may take long.
func newShard(ctx context.Context, obj shard.Object, maxSampleBytes int64) (shard.Shard, error) {
	random, ok := obj.(shard.RandomAccess)
	if !ok {
		return &unopened{obj: obj, maxSampleBytes: maxSampleBytes}, nil
	}
	src, err := shard.OpenStream(ctx, random)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	magic, err := peek(src)
	if err != nil {
		return nil, err
	}
	return byMagic(ctx, magic, obj, maxSampleBytes)
}

// peek reads the bytes that tell the format.
func peek(src io.Reader) ([]byte, error) {
	magic := make([]byte, formatBytes)
	n, err := io.ReadFull(src, magic)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return magic[:n], err
}

func byMagic(ctx context.Context, magic []byte, obj shard.Object, maxSampleBytes int64) (shard.Shard, error) {
	switch formatOf(magic) {
	case "parquet":
		return parquetshard.New(obj, maxSampleBytes), nil
	case "arrow":
		return arrowshard.New(obj, maxSampleBytes), nil
	}
	return tarshard.New(ctx, obj, maxSampleBytes)
}

// formatOf names the format that the first bytes of a shard tell.
func formatOf(magic []byte) string {
	switch {
	case bytes.HasPrefix(magic, []byte(parquetshard.Magic)):
		return "parquet"
	case bytes.HasPrefix(magic, []byte(batch.FileMagic)), bytes.HasPrefix(magic, []byte(arrowshard.StreamMagic)):
		return "arrow"
	}
	return tarshard.FormatOf(magic)
}

// isPacked tells whether shards of a format are packed as a whole.
func isPacked(format string) bool { return strings.HasPrefix(format, "tar.") }

// unopened is a shard that is read in sequence or by ranges. Its format is told
// each time it is opened.
type unopened struct {
	obj            shard.Object
	maxSampleBytes int64
}

func (u *unopened) Name() string      { return u.obj.Name() }
func (u *unopened) Size() int64       { return u.obj.Size() }
func (u *unopened) CheapToScan() bool { return false }

// Format is what the ending of the name says; the bytes may say otherwise.
func (u *unopened) Format() string {
	switch strings.ToLower(path.Ext(u.obj.Name())) {
	case ".parquet":
		return "parquet"
	case ".arrow", ".arrows", ".feather":
		return "arrow"
	}
	return tarshard.FormatByName(u.obj.Name())
}

func (u *unopened) OpenAt(context.Context) (shard.Fetcher, error) {
	return nil, fmt.Errorf("%s: %s is read in sequence only", u.Name(), u.Format())
}

func (u *unopened) Open(ctx context.Context) (shard.Reader, error) {
	if u.Size() == 0 {
		return nil, &shard.Damage{What: "open", Why: errors.New("the file is empty")}
	}
	ranged, isRanged := u.obj.(shard.Ranged)
	isRanged = isRanged && addressable(u.obj)
	if isRanged && u.Format() == "parquet" && u.Size() >= formatBytes { // it would be read from its end
		magic := make([]byte, formatBytes)
		if err := shard.ReadRange(ctx, u.obj, magic, 0); err != nil {
			return nil, err
		}
		if bytes.HasPrefix(magic, []byte(parquetshard.Magic)) {
			return parquetshard.New(u.obj, u.maxSampleBytes).Open(ctx)
		}
	}
	src, err := shard.OpenStream(ctx, u.obj)
	if err != nil {
		return nil, err
	}
	magic, err := peek(src)
	if err != nil {
		src.Close()
		return nil, err
	}
	begun := &begunObject{Object: u.obj, rest: &begunBody{Reader: io.MultiReader(bytes.NewReader(magic), src), Closer: src}}
	defer begun.drop()
	var obj shard.Object = begun
	if isRanged {
		obj = begunRanged{begun, ranged}
	}
	s, err := byMagic(ctx, magic, obj, u.maxSampleBytes)
	if err != nil {
		return nil, err
	}
	return s.Open(ctx)
}

// begunObject is an object of which a body is open already: the first Open at
// its beginning goes on with that.
type begunObject struct {
	shard.Object
	rest *begunBody // nil once taken
}

type begunBody struct {
	io.Reader
	io.Closer
}

// Open implements shard.Object.
func (b *begunObject) Open(ctx context.Context, offset int64) (io.ReadCloser, error) {
	if rest := b.rest; rest != nil && offset == 0 {
		b.rest = nil
		return rest, nil
	}
	return b.Object.Open(ctx, offset)
}

// drop closes the body if nobody has taken it.
func (b *begunObject) drop() {
	if b.rest != nil {
		b.rest.Close()
	}
}

// begunRanged is a begunObject that is Ranged.
type begunRanged struct {
	*begunObject
	ranged shard.Ranged
}

// OpenRange implements shard.Ranged.
func (b begunRanged) OpenRange(ctx context.Context, from, to int64) (io.ReadCloser, error) {
	return b.ranged.OpenRange(ctx, from, to)
}
