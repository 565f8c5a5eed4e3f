package tarshard

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"clpipe/ingest/shard"
	"clpipe/internal/rng"
)

// Limits on what an archive may make the reader hold or do.
const (
	maxKeyBytes = 4096    // a path of the operating system
	maxFields   = 256     // of one sample
	maxLabel    = 64      // bytes of a cls member
	maxSamples  = 1 << 24 // of one shard: their keys' hashes are held, 8 bytes each and as much again
	maxTrailing = 1 << 20 // zero bytes after the end marker; tar pads to 10 KiB
)

// reader groups the members of an archive into samples.
type reader struct {
	members
	close          func() error
	size           int64 // of an archive read by addresses, -1 for one read in sequence
	maxSampleBytes int64

	text    [maxLabel]byte // of the label that is read
	group   *group         // being read: its last member may not have come yet
	groups  [2]group       // that one and the one before
	seen    hashes         // of the keys of all samples begun
	samples int
	end     error // what Next returns once the archive has ended
}

// group is a sample of which more members may come.
type group struct {
	shard.Sample
	key    string    // as it stands in the archive
	fields []string  // met so far
	few    [4]string // their place, of as many as most samples have
	image  string    // the image's field, "" until it has come
}

// damage keeps the first thing found wrong with a sample.
func (g *group) damage(what, format string, args ...any) {
	if g.Damage == nil {
		g.Damage = &shard.Damage{Key: g.Key, Offset: g.Offset, What: what, Why: fmt.Errorf(format, args...)}
	}
}

func (r *reader) Close() error {
	if r.group != nil {
		r.group.Recycle()
	}
	return r.close()
}

func (r *reader) Next() (shard.Sample, error) {
	for r.end == nil {
		done, err := r.member()
		if err != nil {
			r.end = err
			if errors.Is(err, io.EOF) {
				done, r.end = r.finish()
			}
		}
		if done != nil {
			return done.sample(), nil
		}
	}
	return shard.Sample{}, r.end
}

// sample ends the group.
func (g *group) sample() shard.Sample {
	if g.image == "" {
		g.damage("sample", "no image: none of the fields jpg, jpeg, png, webp among its %d", len(g.fields))
	}
	if g.Damage != nil {
		g.Recycle()
		g.Size = 0
	}
	return g.Sample
}

// member reads one member. It returns the group before it if the member begins
// another, io.EOF at the end of the archive and a *shard.Damage if the archive
// cannot be read on.
func (r *reader) member() (done *group, err error) {
	h, err := r.advance()
	if errors.Is(err, io.EOF) {
		return nil, io.EOF
	}
	if err != nil {
		return nil, r.broken(min(r.next, r.in.offset()), "header", explain(err, r.samples == 0))
	}
	truncated := !h.sparse && r.size >= 0 && h.size > r.size-h.body
	key, field, ok := splitName(h.name)
	ok = ok && h.kind != tar.TypeDir && h.kind != tar.TypeXGlobalHeader
	if !ok && !truncated {
		return nil, nil
	}
	if ok && (r.group == nil || r.group.key != string(key)) {
		done = r.group
		if r.samples == maxSamples {
			return nil, r.broken(h.header, "read", fmt.Errorf("more than %d samples in a shard", maxSamples))
		}
		r.begin(key, h)
	}
	if truncated {
		return done, r.broken(h.header, "read", fmt.Errorf("truncated: member %s of %d bytes begins at %d, the shard ends at %d", clip(h.name), h.size, h.body, r.size))
	}
	g := r.group
	switch {
	case slices.Contains(g.fields, field):
		g.damage("sample", "member %s: field %q comes twice", clip(h.name), field)
		return done, nil
	case len(g.fields) == maxFields:
		g.damage("sample", "member %s: more than %d fields", clip(h.name), maxFields)
		return done, nil
	}
	g.fields = append(g.fields, field)
	switch field {
	case "jpg", "jpeg", "png", "webp", "cls":
		if h.kind != tar.TypeReg || h.sparse {
			g.damage("sample", "member %s: neither a link nor a sparse or special file can be read (type %q)", clip(h.name), h.kind)
			return done, nil
		}
	}
	switch field {
	case "jpg", "jpeg", "png", "webp":
		err = r.image(g, field, h)
	case "cls":
		err = r.label(g, h)
	}
	if err != nil {
		return done, r.broken(h.header, "read", fmt.Errorf("member %s: %w", clip(h.name), err))
	}
	return done, nil
}

// begin starts the group of a key not equal to the one before.
func (r *reader) begin(name []byte, h member) {
	key := string(name)
	g := &r.groups[r.samples%2]
	*g = group{key: key}
	g.fields = g.few[:0]
	g.Key, g.Offset = key, h.header
	if len(key) > maxKeyBytes {
		g.Key = strings.ToValidUTF8(key[:maxKeyBytes/16], "") + "…" // the cut may lie inside a rune
		g.damage("sample", "a key of %d bytes, want at most %d", len(key), maxKeyBytes)
	}
	if again := r.seen.add(rng.HashID(key)); again {
		g.damage("sample", "member %s: its key came earlier in the shard (the key ends at the first dot of the name; members of a sample stand side by side)", clip(h.name))
	}
	r.group = g
	r.samples++
}

func (r *reader) image(g *group, field string, h member) error {
	if g.image != "" {
		g.damage("sample", "member %s: a second image beside the field %q", clip(h.name), g.image)
		return nil
	}
	g.image = field
	switch {
	case h.size == 0:
		g.damage("read", "member %s: the file is empty", clip(h.name))
		return nil
	case h.size > r.maxSampleBytes:
		g.damage("read", "member %s: %d bytes, want at most %d", clip(h.name), h.size, r.maxSampleBytes)
		return nil
	}
	g.Size, g.At = h.size, h.body
	if r.size >= 0 || g.Damage != nil {
		return nil
	}
	if f, ok := r.in.(*feed); ok && r.whole == nil {
		g.NewImage(f.roomBehind(h.size))
		return explain(f.readFull(g.Image), false)
	}
	g.NewImage(0)
	_, err := io.ReadFull(r.body, g.Image)
	return explain(err, false)
}

func (r *reader) label(g *group, h member) error {
	if h.size > maxLabel {
		g.damage("label", "member %s: %d bytes, want an integer", clip(h.name), h.size)
		return nil
	}
	if _, err := io.ReadFull(r.body, r.text[:h.size]); err != nil {
		return explain(err, false)
	}
	text := bytes.TrimSpace(r.text[:h.size])
	label, err := strconv.ParseInt(unsafe.String(unsafe.SliceData(text), len(text)), 10, 64) // which keeps nothing of it
	if err != nil {
		g.damage("label", "member %s: got %q, want an integer", clip(h.name), text)
		return nil
	}
	g.Label, g.HasLabel = label, true
	return nil
}

// broken is the damage that ends the shard, and with it the group being read.
func (r *reader) broken(offset int64, what string, why error) error {
	d := &shard.Damage{Offset: offset, What: what, Why: why}
	if r.group != nil {
		d.Key = r.group.Key
		r.group.Recycle()
		r.group = nil
	}
	return d
}

// explain says what an error of archive/tar means.
func explain(err error, first bool) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF): // never passed on: it would look like a proper end
		return explain(io.ErrUnexpectedEOF, first)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("truncated: the shard ends inside a member: %w", err)
	case errors.Is(err, tar.ErrHeader) && first:
		return fmt.Errorf("not a tar archive: %w", err)
	}
	return err
}

// finish checks what follows the last member: tar's end marker and then only
// padding. Reading it to the end is also what makes gzip and zstd check their
// sums. It returns the last group, and io.EOF for a whole archive with samples.
func (r *reader) finish() (last *group, err error) {
	end := r.in.offset()
	if end-r.next < tarBlock { // members of the last sample may be missing: it is lost
		return nil, r.broken(end, "read", errors.New("truncated: the shard ends without tar's end marker"))
	}
	last, r.group = r.group, nil
	var buf [4096]byte
	for {
		n, err := r.in.Read(buf[:])
		if len(bytes.Trim(buf[:n], "\x00")) > 0 {
			return last, r.broken(end, "read", errors.New("more data follows tar's end marker (archives put together with cat?)"))
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return last, r.broken(r.in.offset(), "read", explain(err, false))
		}
		if r.in.offset()-end > maxTrailing {
			return last, r.broken(end, "read", fmt.Errorf("more than %d bytes follow tar's end marker", maxTrailing))
		}
	}
	if r.samples == 0 {
		return last, r.broken(0, "read", errors.New("no samples: no member has a key and a field, as in 000123.jpg"))
	}
	return last, io.EOF
}
