package parquetshard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"clpipe/ingest/shard"
	"clpipe/ingest/table"
)

// Shard is a Parquet file as a set of samples. It is a shard.Shard.
type Shard struct {
	obj            shard.Object
	maxSampleBytes int64
}

// New returns the shard of a file. Images over maxSampleBytes are not read.
func New(obj shard.Object, maxSampleBytes int64) *Shard { return &Shard{obj, maxSampleBytes} }

// Name returns the path below the source's root.
func (s *Shard) Name() string { return s.obj.Name() }

// Format returns "parquet".
func (s *Shard) Format() string { return "parquet" }

// Size returns the length in bytes.
func (s *Shard) Size() int64 { return s.obj.Size() }

// CheapToScan returns false: whether a row can be read shows in its column.
func (s *Shard) CheapToScan() bool { return false }

// CountSamples returns the rows that the footer tells of.
func (s *Shard) CountSamples(ctx context.Context) (int, error) {
	f, err := s.footer(ctx)
	if err != nil {
		return 0, err
	}
	return int(f.rows), nil
}

func (s *Shard) footer(ctx context.Context) (*footer, error) {
	if s.obj.Size() < 0 {
		return nil, damage("open", errors.New("the length of the file is not known, and Parquet is read from its end: "+
			"save it to disk first, or serve it with ranges"))
	}
	f, err := readFooter(ctx, s.obj, s.obj.Size())
	if errors.Is(err, shard.ErrSequential) {
		err = damage("open", errors.New("the server sends no parts of files, and Parquet is read from its end: save the file to disk first"))
	}
	return f, err
}

// Open begins to read at the first sample.
func (s *Shard) Open(ctx context.Context) (shard.Reader, error) {
	if s.Size() == 0 {
		return nil, damage("open", errors.New("the file is empty"))
	}
	f, err := s.footer(ctx)
	if err != nil {
		return nil, err
	}
	_, local := s.obj.(shard.RandomAccess)
	r := &reader{obj: s.obj, remote: !local, size: s.Size(), footer: f, maxSampleBytes: s.maxSampleBytes}
	r.ctx, r.cancel = context.WithCancel(ctx)
	return r, nil
}

// OpenAt is an error: all samples come with their images.
func (s *Shard) OpenAt(context.Context) (shard.Fetcher, error) {
	return nil, fmt.Errorf("%s: parquet is read in sequence only", s.Name())
}

// reader walks through the row groups. It keeps the context of Open: Next has
// no place for it.
type reader struct {
	ctx            context.Context
	cancel         context.CancelFunc
	obj            shard.Object
	remote         bool // asked by requests, which take time
	size           int64
	footer         *footer
	maxSampleBytes int64

	group              int   // the next to open
	left               int64 // rows of the open one
	row                int64 // of the file, to be read next
	bytes, path, label *chunk
	parts, next        []*part // fetched of the open row group, and of the next
	fetching           sync.WaitGroup
	keys               table.Keys
	end                error // what Next returns once the file has ended
}

// Close implements shard.Reader. It returns when nothing of the source is read any
// more.
func (r *reader) Close() error {
	r.cancel()
	r.closeGroup()
	r.fetching.Wait()
	return nil
}

func (r *reader) closeGroup() {
	r.bytes.close()
	r.path.close()
	r.label.close()
	r.bytes, r.path, r.label = nil, nil, nil
}

// Next implements shard.Reader.
func (r *reader) Next() (shard.Sample, error) {
	if r.end != nil {
		return shard.Sample{}, r.end
	}
	s, err := r.sample()
	if err == nil {
		return s, nil
	}
	r.end = err
	if source := (*readError)(nil); !errors.Is(err, io.EOF) && !errors.As(err, &source) {
		r.end = &shard.Damage{Offset: r.row, What: "read", Why: fmt.Errorf("row %d: %w", r.row, err)}
	}
	if errors.Is(err, io.EOF) && r.footer.rows == 0 {
		r.end = damage("read", errors.New("no samples: the file has no rows"))
	}
	return shard.Sample{}, r.end
}

func (r *reader) sample() (s shard.Sample, err error) {
	defer recovered(&err)
	for r.left == 0 {
		r.closeGroup()
		if r.group == len(r.footer.meta.RowGroups) {
			return s, io.EOF
		}
		if err := r.openGroup(); err != nil {
			return s, err
		}
	}
	var v values
	name := ""
	if r.path != nil {
		null, err := r.path.next(&v)
		if err != nil {
			return s, err
		}
		if !null {
			name = shard.Printable(string(v.bytes[0]))
		}
	}
	if r.label != nil {
		null, err := r.label.next(&v)
		if err != nil {
			return s, err
		}
		if !null {
			s.Label, s.HasLabel = v.i64[0], true
		}
	}
	null, err := r.bytes.next(&v)
	if err != nil {
		return s, err
	}
	key, bad := r.keys.Of(name, r.row)
	s.Key, s.Offset, s.At = key, r.row, -1
	switch n := int64(len(v.bytes[0])); {
	case bad != nil:
		s.Damage = &shard.Damage{Key: key, Offset: r.row, What: "sample", Why: bad}
	case null:
		s.Damage = table.NoBytes(key, r.row, name)
	case n == 0 || n > r.maxSampleBytes:
		s.Damage = table.BadSize(key, r.row, n, r.maxSampleBytes)
	default:
		r.bytes.pages.find(&s, v.bytes[0])
		s.Image, s.Size = bytes.Clone(v.bytes[0]), n // the page is shared by many
	}
	r.row++
	r.left--
	return s, nil
}

func (r *reader) openGroup() (err error) {
	group := r.footer.meta.RowGroup(r.group)
	if r.group == 0 {
		r.next = r.fetch(0)
	}
	r.group++
	r.parts, r.next = r.next, r.fetch(r.group)
	r.left = group.NumRows()
	if r.bytes, err = r.openChunk(group, r.footer.bytes); err != nil {
		return err
	}
	if r.footer.path >= 0 {
		if r.path, err = r.openChunk(group, r.footer.path); err != nil {
			return err
		}
	}
	if r.footer.label >= 0 {
		if r.label, err = r.openChunk(group, r.footer.label); err != nil {
			return err
		}
	}
	return nil
}
