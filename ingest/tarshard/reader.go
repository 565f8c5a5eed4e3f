package tarshard

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"

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
	tarBlock    = 512
)

// reader groups the members of an archive into samples.
type reader struct {
	in             archive
	tar            *tar.Reader
	close          func() error
	size           int64 // of an archive read by addresses, -1 for one read in sequence
	maxSampleBytes int64

	next    int64               // offset at which the next member's header should begin
	group   *group              // being read: its last member may not have come yet
	seen    map[uint64]struct{} // hashes of the keys of all samples begun
	samples int
	end     error // what Next returns once the archive has ended
}

// group is a sample of which more members may come.
type group struct {
	shard.Sample
	key    string          // as it stands in the archive
	fields map[string]bool // met so far
	image  string          // the image's field, "" until it has come
}

// damage keeps the first thing found wrong with a sample.
func (g *group) damage(what, format string, args ...any) {
	if g.Damage == nil {
		g.Damage = &shard.Damage{Key: g.Key, Offset: g.Offset, What: what, Why: fmt.Errorf(format, args...)}
	}
}

func (r *reader) Close() error { return r.close() }

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
		g.damage("sample", "no image: none of the fields jpg, jpeg, png among its %d", len(g.fields))
	}
	if g.Damage != nil {
		g.Size, g.Image = 0, nil
	}
	return g.Sample
}

// member reads one member. It returns the group before it if the member begins
// another, io.EOF at the end of the archive and a *shard.Damage if the archive
// cannot be read on.
func (r *reader) member() (done *group, err error) {
	header := r.next
	h, err := r.tar.Next()
	if errors.Is(err, io.EOF) {
		return nil, io.EOF
	}
	if err != nil && !errors.Is(err, tar.ErrInsecurePath) { // names become ids here, never paths
		return nil, r.broken(min(header, r.in.offset()), "header", explain(err, r.samples == 0 && r.group == nil))
	}
	body := r.in.offset()
	r.next = body + (h.Size+tarBlock-1)/tarBlock*tarBlock
	sparse := isSparse(h)
	switch h.Typeflag {
	case tar.TypeDir, tar.TypeXGlobalHeader:
		return nil, nil
	}
	truncated := !sparse && r.size >= 0 && h.Size > r.size-body
	key, field, ok := splitName(h.Name)
	if !ok && !truncated {
		return nil, nil
	}
	if ok && (r.group == nil || r.group.key != key) {
		done = r.group
		if r.samples == maxSamples {
			return nil, r.broken(header, "read", fmt.Errorf("more than %d samples in a shard", maxSamples))
		}
		r.begin(key, header, h.Name)
	}
	if truncated {
		return done, r.broken(header, "read", fmt.Errorf("truncated: member %s of %d bytes begins at %d, the shard ends at %d", clip(h.Name), h.Size, body, r.size))
	}
	g := r.group
	switch {
	case g.fields[field]:
		g.damage("sample", "member %s: field %q comes twice", clip(h.Name), field)
		return done, nil
	case len(g.fields) == maxFields:
		g.damage("sample", "member %s: more than %d fields", clip(h.Name), maxFields)
		return done, nil
	}
	g.fields[field] = true
	switch field {
	case "jpg", "jpeg", "png", "webp", "cls":
		if h.Typeflag != tar.TypeReg || sparse {
			g.damage("sample", "member %s: neither a link nor a sparse or special file can be read (type %q)", clip(h.Name), h.Typeflag)
			return done, nil
		}
	}
	switch field {
	case "jpg", "jpeg", "png":
		err = r.image(g, field, h, body)
	case "webp":
		g.damage("sample", "member %s: webp is not supported, want jpg, jpeg or png", clip(h.Name))
		g.image = field
	case "cls":
		err = r.label(g, h)
	}
	if err != nil {
		return done, r.broken(header, "read", fmt.Errorf("member %s: %w", clip(h.Name), err))
	}
	return done, nil
}

// begin starts the group of a key not equal to the one before.
func (r *reader) begin(key string, offset int64, member string) {
	g := &group{key: key, fields: make(map[string]bool, 4)}
	g.Key, g.Offset = key, offset
	if len(key) > maxKeyBytes {
		g.Key = key[:maxKeyBytes/16] + "…"
		g.damage("sample", "a key of %d bytes, want at most %d", len(key), maxKeyBytes)
	}
	hash := rng.HashID(key)
	if _, again := r.seen[hash]; again {
		g.damage("sample", "member %s: its key came earlier in the shard (the key ends at the first dot of the name; members of a sample stand side by side)", clip(member))
	}
	r.seen[hash] = struct{}{}
	r.group = g
	r.samples++
}

func (r *reader) image(g *group, field string, h *tar.Header, body int64) error {
	if g.image != "" {
		g.damage("sample", "member %s: a second image beside the field %q", clip(h.Name), g.image)
		return nil
	}
	g.image = field
	switch {
	case h.Size == 0:
		g.damage("read", "member %s: the file is empty", clip(h.Name))
		return nil
	case h.Size > r.maxSampleBytes:
		g.damage("read", "member %s: %d bytes, want at most %d", clip(h.Name), h.Size, r.maxSampleBytes)
		return nil
	}
	g.Size, g.At = h.Size, body
	if r.size >= 0 || g.Damage != nil {
		return nil
	}
	g.Image = make([]byte, h.Size)
	_, err := io.ReadFull(r.tar, g.Image)
	return explain(err, false)
}

func (r *reader) label(g *group, h *tar.Header) error {
	if h.Size > maxLabel {
		g.damage("label", "member %s: %d bytes, want an integer", clip(h.Name), h.Size)
		return nil
	}
	text := make([]byte, h.Size)
	if _, err := io.ReadFull(r.tar, text); err != nil {
		return explain(err, false)
	}
	text = bytes.TrimSpace(text)
	label, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		g.damage("label", "member %s: got %q, want an integer", clip(h.Name), text)
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

// isSparse tells whether the member's bytes are stored with their gaps left
// out, so that neither its size nor its place is what the header says.
func isSparse(h *tar.Header) bool {
	if h.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for _, record := range []string{"GNU.sparse.major", "GNU.sparse.map", "GNU.sparse.size"} {
		if _, ok := h.PAXRecords[record]; ok {
			return true
		}
	}
	return false
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
