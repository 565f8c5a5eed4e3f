package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"clpipe/ingest/index"
	"clpipe/ingest/remote"
	"clpipe/ingest/shard"
)

// Values of Config.Index that are no file.
const (
	NoIndex   = "off"
	AutoIndex = "auto"
)

// IndexPlace returns where the index of a source lies if nothing else is said:
// in the folder, or below the prefix, that the ids of its samples begin at.
func IndexPlace(source string) string { return beside(source, index.Name) }

// beside returns the file of the given name below a source's root.
func beside(source, name string) string {
	scheme, below, isURL := strings.Cut(source, "://")
	if !isURL {
		info, err := os.Stat(source)
		if wild := strings.IndexAny(source, "{}*?["); err != nil && wild >= 0 { // of a file that is there they are its name
			source = source[:wild] + "x"
		}
		if err != nil || !info.IsDir() {
			source = filepath.Dir(source)
		}
		return filepath.Join(source, filepath.FromSlash(name))
	}
	query, patterns := "", "{}*?["
	host := 0 // bytes of it: that of HTTP may be an address in brackets
	if scheme != "s3" {
		below, query, _ = strings.Cut(below, "?")
		if query != "" {
			query = "?" + query
		}
		patterns, host = "{}", max(strings.IndexByte(below, '/'), 0)
	}
	wild := strings.IndexAny(below[host:], patterns)
	if wild >= 0 {
		below = below[:host+wild]
	}
	if scheme == "s3" && wild < 0 && !isArchive(below) && !strings.HasSuffix(below, "/") {
		below += "/" // a prefix
	}
	return scheme + "://" + below[:strings.LastIndexByte(below, '/')+1] + name + query
}

// StaleIndexError says that an index is not of the shards as they are now.
type StaleIndexError struct {
	Index  string // without credentials and query
	Why    string
	Source string // of a shard it should have, without credentials and query
}

// Error says what differs and which command renews the index.
func (e *StaleIndexError) Error() string {
	place := fmt.Sprintf("-o %q --overwrite", e.Index)
	if strings.Contains(e.Index, "://") {
		place = "-o FILE and put that in its place"
	}
	return fmt.Sprintf("ingest: index %s is stale: %s: renew it by clpipe shards index --src %q %s, or read without it by --index off",
		e.Index, e.Why, e.Source, place)
}

// loadIndex reads the index of the configuration and finds the source's shards
// in it.
func (s *Source) loadIndex(ctx context.Context) error {
	if s.cfg.Index == "" || s.cfg.Index == NoIndex {
		return nil
	}
	if slices.Contains(s.cfg.Sources, "-") {
		return &UsageError{errors.New("ingest: index: standard input has no places to come back to: want no index with the source \"-\"")}
	}
	if s.cfg.Index == AutoIndex && !slices.ContainsFunc(s.shards, func(m member) bool { return m.Format() != "image" }) {
		return &UsageError{errors.New("ingest: index: images in folders are permuted one by one without an index: leave --index auto out")}
	}
	c := &catalogue{first: make([]int, 1, len(s.shards)+1), ranged: true}
	of, err := s.readIndexes(ctx, s.cfg.Index)
	if err != nil {
		return err
	}
	for i, x := range of {
		if slices.Index(of, x) == i {
			c.held += x.MemoryBytes()
			c.packed = c.packed || x.Packed()
		}
	}
	for _, m := range s.shards {
		at, err := s.findIndexed(m, of[m.source])
		if err != nil {
			return err
		}
		c.shards = append(c.shards, at)
		c.first = append(c.first, c.first[len(c.first)-1]+at.in.Samples(at.place))
		if !at.in.Shards()[at.place].Ranged || !addressable(m.obj) {
			c.ranged = false
			c.sequential = append(c.sequential, m.Name())
		}
	}
	// A pattern may name fewer shards than there are, a directory not.
	if gone := s.missing(of); len(gone) > 0 {
		return s.stale(of[0], 0, "shard %.200q is gone", gone[0])
	}
	s.index = c
	counted := make([]int, len(s.shards))
	for i := range counted {
		counted[i] = c.first[i+1] - c.first[i]
	}
	s.counted.Store(&counted)
	return nil
}

// IndexSum is a checksum of what an index makes of the order of epochs: the shards, how
// many samples each has, and whether all of these are permuted. It is the same where
// the shards lie elsewhere, and "" without an index.
func (s *Source) IndexSum() string {
	if s.index == nil {
		return ""
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "permuted %v\n", s.index.ranged)
	for i, of := range s.index.shards {
		is := of.in.Shards()[of.place]
		fmt.Fprintf(sum, "%q %s %d\n", is.Name, is.SHA256, s.index.first[i+1]-s.index.first[i])
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// addressable tells whether an object can be read at any place without reading
// what lies before it.
func addressable(obj shard.Object) bool {
	switch obj := obj.(type) {
	case shard.RandomAccess:
		return true
	case remote.File:
		return obj.Remote().Ranges
	case shard.Ranged:
		return true
	}
	return false
}

// sourceIndex is the index of a source.
type sourceIndex struct {
	*index.Index
	file string // where it lies
}

// readIndexes returns the index of each source, nil for standard input: a file
// that is that of all, or with AutoIndex the one in the source's place.
func (s *Source) readIndexes(ctx context.Context, file string) ([]*sourceIndex, error) {
	of := make([]*sourceIndex, len(s.cfg.Sources))
	read := map[string]*sourceIndex{}
	for i, source := range s.cfg.Sources {
		if source == "-" {
			continue
		}
		place := file
		if file == AutoIndex {
			place = IndexPlace(source)
		}
		if read[place] == nil {
			x, err := readIndex(ctx, s.cfg, place)
			if err != nil {
				return nil, err
			}
			read[place] = &sourceIndex{x, place}
		}
		of[i] = read[place]
	}
	return of, nil
}

// readIndex reads a file, wherever it lies.
func readIndex(ctx context.Context, cfg Config, file string) (*index.Index, error) {
	where := remote.Redact(file)
	found, err := lookUp(ctx, cfg, file)
	pattern := (*shard.PatternError)(nil)
	if errors.As(err, &pattern) || err == nil && (found.Dir || len(found.Objects) != 1) {
		return nil, &UsageError{fmt.Errorf("ingest: index: there is no %s: make it by clpipe shards index, or read without it by --index off", where)}
	}
	if err != nil {
		return nil, fmt.Errorf("ingest: index: %w", err)
	}
	src, err := shard.OpenStream(ctx, found.Objects[0])
	if err != nil {
		return nil, fmt.Errorf("ingest: index %s: %w", where, err)
	}
	defer src.Close()
	x, err := index.Read(ctx, where, src)
	if err != nil {
		return nil, fmt.Errorf("ingest: %w", err)
	}
	return x, nil
}

// stale is the error of an index that differs from a source.
func (s *Source) stale(x *sourceIndex, source int, format string, args ...any) error {
	return &StaleIndexError{remote.Redact(x.file), fmt.Sprintf(format, args...), remote.Redact(s.cfg.Sources[source])}
}

// findIndexed returns where a shard stands in the index of its source.
func (s *Source) findIndexed(m member, x *sourceIndex) (indexed, error) {
	place, ok := x.Find(m.Name())
	if !ok {
		return indexed{}, s.stale(x, m.source, "it has no shard %.200q", m.Name())
	}
	of := x.Shards()[place]
	if m.Size() >= 0 && m.Size() != of.Bytes {
		return indexed{}, s.stale(x, m.source, "shard %.200q has %d bytes, %d when it was indexed", m.Name(), m.Size(), of.Bytes)
	}
	if f, ok := m.obj.(remote.File); ok {
		if at := f.Remote(); at.Where == of.Address && at.Version != of.ETag {
			return indexed{}, s.stale(x, m.source, "shard %.200q is version %.100q, %.100q was indexed", m.Name(), at.Version, of.ETag)
		}
	}
	return indexed{x.Index, place}, nil
}

// missing returns the names of shards that were indexed and are gone from the one
// directory that is the source; none of other sources.
func (s *Source) missing(of []*sourceIndex) (gone []string) {
	if !s.whole {
		return nil
	}
	names := make(map[string]bool, len(s.shards))
	for _, m := range s.shards {
		names[m.Name()] = true
	}
	for _, indexed := range of[0].Shards() {
		if !names[indexed.Name] {
			gone = append(gone, indexed.Name)
		}
	}
	return gone
}

// indexed is a shard's place in an index.
type indexed struct {
	in    *index.Index
	place int
}

// catalogue is what indexes say of the shards of a source, in their order.
type catalogue struct {
	shards []indexed
	first  []int // place of each shard's first sample among all, and their number
	// ranged tells whether all images can be read by themselves; sequential are
	// the shards of which they cannot.
	ranged     bool
	sequential []string
	packed     bool  // some images are packed
	held       int64 // bytes of memory
}

// len returns the number of samples.
func (c *catalogue) len() int { return c.first[len(c.first)-1] }

// entry returns the sample in a place among all.
func (c *catalogue) entry(at int, maxSampleBytes int64) entry {
	place, found := slices.BinarySearch(c.first, at)
	for found && place+1 < len(c.first) && c.first[place+1] == at { // of shards without samples
		place++
	}
	if !found {
		place--
	}
	of := c.shards[place]
	e := entry{shard: place, nth: at - c.first[place], lost: 1}
	e.sample, e.crc32c = of.in.Sample(of.place, at-c.first[place])
	if e.sample.Size > maxSampleBytes {
		e.sample.Damage = &shard.Damage{Key: e.sample.Key, Offset: e.sample.Offset, What: "read",
			Why: fmt.Errorf("%d bytes, want at most %d", e.sample.Size, maxSampleBytes)}
		e.sample.Size, e.sample.Packed = 0, 0
	}
	return e
}
