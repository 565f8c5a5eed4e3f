package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"clpipe/ingest/folder"
	"clpipe/ingest/local"
	"clpipe/ingest/shard"
	"clpipe/ingest/tarshard"
)

// Shard describes one shard of a Source.
type Shard struct {
	Name    string `json:"name"`    // path below the source's root: the beginning of the ids
	Source  string `json:"source"`  // the entry of Config.Sources that named it
	Format  string `json:"format"`  // "tar", "tar.gz", "tar.zst" or "image" (a file of its own)
	Bytes   int64  `json:"bytes"`   // as stored
	Samples int    `json:"samples"` // those included that cannot be read; 0 if not counted
}

// member is a shard with the place of its source in Config.Sources.
type member struct {
	shard.Shard
	source int
}

// list finds the shards of all sources, sorted by name, and the classes of the
// image folders among them.
func list(ctx context.Context, cfg Config) ([]member, []string, error) {
	type named struct {
		file   *local.File
		source int
	}
	var archives, images []named
	for i, source := range cfg.Sources {
		files, err := find(ctx, source)
		if err != nil {
			return nil, nil, err
		}
		for _, f := range files {
			if folder.IsImage(f.Name()) {
				images = append(images, named{f, i})
			} else {
				archives = append(archives, named{f, i})
			}
		}
	}

	names := make([]string, len(images))
	for i, m := range images {
		names[i] = m.file.Name()
	}
	classes := folder.Classes(names)
	shards := make([]member, 0, len(archives)+len(images))
	for _, a := range archives {
		s, err := tarshard.New(ctx, a.file, cfg.MaxSampleBytes)
		if err != nil {
			return nil, nil, fmt.Errorf("ingest: open shard: %w", err)
		}
		shards = append(shards, member{s, a.source})
	}
	for _, m := range images {
		label := int64(-1)
		if class, ok := slices.BinarySearch(classes, folder.ClassOf(m.file.Name())); ok {
			label = int64(class)
		}
		shards = append(shards, member{folder.New(m.file, label, cfg.MaxSampleBytes), m.source})
	}

	slices.SortStableFunc(shards, func(a, b member) int { return cmp.Compare(a.Name(), b.Name()) })
	for i := 1; i < len(shards); i++ {
		if a, b := shards[i-1], shards[i]; a.Name() == b.Name() {
			return nil, nil, &UsageError{fmt.Errorf("ingest: list: %q is in source %q and again in source %q: their samples would have equal ids",
				a.Name(), cfg.Sources[a.source], cfg.Sources[b.source])}
		}
	}
	return shards, classes, nil
}

// find returns the files of a source that are shards or images.
func find(ctx context.Context, source string) ([]*local.File, error) {
	if scheme, _, ok := strings.Cut(source, "://"); ok || source == "-" {
		if !ok {
			scheme = "standard input"
		}
		return nil, &UsageError{fmt.Errorf("ingest: list: source %.200q: %s cannot be read by this version, want files or a directory", source, scheme)}
	}
	listing, err := local.Find(ctx, source)
	if pattern := (*local.PatternError)(nil); errors.As(err, &pattern) {
		return nil, &UsageError{fmt.Errorf("ingest: list: %w", err)}
	}
	if err != nil {
		return nil, fmt.Errorf("ingest: list: source %.200q: %w", source, err)
	}
	if !listing.Dir {
		return listing.Files, nil
	}
	var archives, images []*local.File
	for _, f := range listing.Files {
		switch {
		case isArchive(f.Name()):
			archives = append(archives, f)
		case folder.IsImage(f.Name()):
			images = append(images, f)
		}
	}
	switch {
	case len(archives) > 0 && len(images) > 0:
		return nil, &UsageError{fmt.Errorf("ingest: list: source %.200q holds both shards (%d, as %q) and images (%d, as %q): name one kind by a pattern",
			source, len(archives), archives[0].Name(), len(images), images[0].Name())}
	case len(archives) == 0 && len(images) == 0:
		return nil, &UsageError{fmt.Errorf("ingest: list: source %.200q holds neither shards (%s) nor images (.jpg, .jpeg, .png): found %s",
			source, strings.Join(archiveEndings, ", "), summary(listing.Files))}
	}
	return append(archives, images...), nil
}

// archiveEndings select shards in a directory. What a shard is made of is told
// by its first bytes.
var archiveEndings = []string{".tar", ".tar.gz", ".tgz", ".tar.zst"}

func isArchive(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc(archiveEndings, func(e string) bool { return strings.HasSuffix(name, e) })
}

// summary says what kinds of file there are, the most frequent first.
func summary(files []*local.File) string {
	if len(files) == 0 {
		return "no files"
	}
	count := map[string]int{}
	for _, f := range files {
		count[path.Ext(f.Name())]++
	}
	kinds := make([]string, 0, len(count))
	for kind := range count {
		kinds = append(kinds, kind)
	}
	slices.SortFunc(kinds, func(a, b string) int { return cmp.Or(count[b]-count[a], cmp.Compare(a, b)) })
	var parts []string
	for _, kind := range kinds[:min(len(kinds), 5)] {
		name := kind
		if kind == "" {
			name = "without ending"
		}
		parts = append(parts, fmt.Sprintf("%d %s", count[kind], name))
	}
	return strings.Join(parts, ", ")
}
