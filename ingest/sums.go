package ingest

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"clpipe/ingest/remote"
	"clpipe/ingest/shard"
)

// SumsFile is the name of a file of checksums beside shards, a line each as
// sha256sum writes and checks it.
const SumsFile = "SHA256SUMS"

// maxSumsBytes bounds such a file: a million lines of ordinary length.
const maxSumsBytes = 128 << 20

// claim is what a file says of a shard.
type claim struct {
	by     string // the file, without credentials and query
	sha256 string // in hex
}

// claims returns what checksum files beside the shards, and an index ("" or
// NoIndex: none), say of each shard; gone are shards that the index has and the
// sources have not.
func (s *Source) claims(ctx context.Context, indexFile string) (of [][]claim, gone []Alteration, err error) {
	of = make([][]claim, len(s.shards))
	listed := map[string]map[string]string{} // by place of the file, and by name in it
	for i, m := range s.shards {
		source := s.cfg.Sources[m.source]
		if m.Format() == "image" || source == "-" {
			continue
		}
		place := beside(source, path.Join(path.Dir(m.Name()), SumsFile))
		sums, met := listed[place]
		if !met {
			if sums, err = readSums(ctx, s.cfg, place); err != nil {
				return nil, nil, err
			}
			listed[place] = sums
		}
		if sum := sums[path.Base(m.Name())]; sum != "" {
			of[i] = append(of[i], claim{remote.Redact(place), sum})
		}
	}
	if indexFile == "" || indexFile == NoIndex {
		return of, nil, nil
	}
	indexes, err := s.readIndexes(ctx, indexFile)
	if err != nil {
		return nil, nil, err
	}
	for i, m := range s.shards {
		x := indexes[m.source]
		if x == nil {
			continue
		}
		if place, ok := x.Find(m.Name()); ok {
			of[i] = append(of[i], claim{remote.Redact(x.file), x.Shards()[place].SHA256})
		}
	}
	for _, name := range s.missing(indexes) {
		gone = append(gone, Alteration{Shard: name, By: remote.Redact(indexes[0].file)})
	}
	return of, gone, nil
}

// readSums reads a file of checksums, by name; nil if there is none. A name that
// comes twice has the last line's.
func readSums(ctx context.Context, cfg Config, place string) (map[string]string, error) {
	found, err := lookUp(ctx, cfg, place)
	if pattern := (*shard.PatternError)(nil); errors.As(err, &pattern) || err == nil && (found.Dir || len(found.Objects) != 1) {
		return nil, nil
	}
	if errors.Is(err, fs.ErrPermission) { // so many servers answer for what is not there
		cfg.Log.Warn(fmt.Sprintf("ingest: checksums: %v: taken for a file that is not there", err))
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ingest: checksums: %w", err)
	}
	src, err := shard.OpenStream(ctx, found.Objects[0])
	if err != nil {
		return nil, fmt.Errorf("ingest: checksums: %w", err)
	}
	defer src.Close()
	sums, err := parseSums(io.LimitReader(src, maxSumsBytes))
	if err != nil {
		return nil, fmt.Errorf("ingest: checksums %s: %w", remote.Redact(place), err)
	}
	return sums, nil
}

// escapes are what sha256sum writes for signs of a name, in a line that begins with a
// backslash.
var escapes = strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\r`, "\r")

// parseSums reads lines of 64 hex digits, a space, a space or star, and a name.
// Others say nothing, and behind one that is too long for a name nothing does: there
// are servers that answer with a page of theirs for what is not there.
func parseSums(src io.Reader) (map[string]string, error) {
	sums := map[string]string{}
	lines := bufio.NewScanner(src)
	for lines.Scan() {
		line, escaped := strings.CutPrefix(strings.TrimSuffix(lines.Text(), "\r"), `\`)
		sum, name, ok := strings.Cut(line, " ")
		if bytes, err := hex.DecodeString(sum); !ok || name == "" || err != nil || len(bytes) != sha256.Size {
			continue
		}
		if name[0] == ' ' || name[0] == '*' {
			name = name[1:]
		}
		if escaped {
			name = escapes.Replace(name)
		}
		sums[strings.TrimPrefix(name, "./")] = strings.ToLower(sum)
	}
	if err := lines.Err(); !errors.Is(err, bufio.ErrTooLong) {
		return sums, err
	}
	return sums, nil
}
