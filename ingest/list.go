package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"clpipe/ingest/cache"
	"clpipe/ingest/folder"
	"clpipe/ingest/httpfile"
	"clpipe/ingest/local"
	"clpipe/ingest/remote"
	"clpipe/ingest/s3"
	"clpipe/ingest/shard"
	"clpipe/ingest/stdin"
)

// Shard describes one shard of a Source.
type Shard struct {
	Name    string `json:"name"`    // path below the source's root: the beginning of the ids
	Source  string `json:"source"`  // the entry of Config.Sources that named it, without credentials and query
	Format  string `json:"format"`  // "tar", "tar.gz", "tar.zst", "parquet", "arrow" or "image" (a file of its own)
	Bytes   int64  `json:"bytes"`   // as stored; 0 if not known
	Samples int    `json:"samples"` // those included that cannot be read; 0 if not counted
}

// member is a shard with the object that holds it and the place of its source in
// Config.Sources.
type member struct {
	shard.Shard
	obj    shard.Object
	source int
}

// list finds the shards of all sources, sorts them by name, and finds the classes
// of the image folders among them.
func (s *Source) list(ctx context.Context) error {
	cfg := &s.cfg
	type named struct {
		file   shard.Object
		source int
	}
	var archives, images []named
	kept, err := openCache(*cfg)
	if err != nil {
		return err
	}
	fetched := int64(0) // bytes of remote files
	for i, source := range cfg.Sources {
		files, dir, err := find(ctx, *cfg, source)
		if err != nil {
			return err
		}
		s.whole = dir && len(cfg.Sources) == 1
		for _, f := range files {
			if obj, ok := f.(*remote.Object); ok && kept != nil {
				fetched += max(obj.Bytes, 0)
				f = kept.Wrap(obj)
			}
			if folder.IsImage(f.Name()) {
				images = append(images, named{f, i})
			} else {
				archives = append(archives, named{f, i})
			}
		}
	}

	if kept != nil {
		kept.Expect(fetched)
	}
	names := make([]string, len(images))
	for i, m := range images {
		names[i] = m.file.Name()
	}
	s.classes = folder.Classes(names)
	s.shards = make([]member, 0, len(archives)+len(images))
	for _, a := range archives {
		archive, err := newShard(ctx, a.file, cfg.MaxSampleBytes)
		if err != nil {
			return fmt.Errorf("ingest: open shard: %w", err)
		}
		s.shards = append(s.shards, member{archive, a.file, a.source})
	}
	for _, m := range images {
		label := int64(-1)
		if class, ok := slices.BinarySearch(s.classes, folder.ClassOf(m.file.Name())); ok {
			label = int64(class)
		}
		s.shards = append(s.shards, member{folder.New(m.file, label, cfg.MaxSampleBytes), m.file, m.source})
	}

	slices.SortStableFunc(s.shards, func(a, b member) int { return cmp.Compare(a.Name(), b.Name()) })
	for i := 1; i < len(s.shards); i++ {
		if a, b := s.shards[i-1], s.shards[i]; a.Name() == b.Name() {
			return &UsageError{fmt.Errorf("ingest: list: %q is in source %q and again in source %q: their samples would have equal ids",
				a.Name(), remote.Redact(cfg.Sources[a.source]), remote.Redact(cfg.Sources[b.source]))}
		}
	}
	return nil
}

// openCache opens the folder that keeps remote files, nil if there is none to be.
func openCache(cfg Config) (*cache.Cache, error) {
	if cfg.CacheDir == "" {
		return nil, nil
	}
	kept, err := cache.Open(cfg.CacheDir, cfg.CacheBytes, cfg.Log)
	if dir := (*cache.DirError)(nil); errors.As(err, &dir) {
		return nil, &UsageError{fmt.Errorf("ingest: %w", err)}
	}
	if err != nil {
		return nil, fmt.Errorf("ingest: %w", err)
	}
	return kept, nil
}

// find returns the files of a source that are shards or images. dir tells whether
// it names a directory.
func find(ctx context.Context, cfg Config, source string) (files []shard.Object, dir bool, err error) {
	listing, err := lookUp(ctx, cfg, source)
	if pattern := (*shard.PatternError)(nil); errors.As(err, &pattern) {
		return nil, false, &UsageError{fmt.Errorf("ingest: list: %w", err)}
	}
	source = remote.Redact(source)
	if lost := (*remote.Error)(nil); errors.As(err, &lost) {
		return nil, false, fmt.Errorf("ingest: %w", err) // which names the source
	}
	if err != nil {
		return nil, false, fmt.Errorf("ingest: list: source %.200q: %w", source, err)
	}
	if !listing.Dir {
		return listing.Objects, false, nil
	}
	var archives, images []shard.Object
	for _, f := range listing.Objects {
		switch {
		case isArchive(f.Name()):
			archives = append(archives, f)
		case folder.IsImage(f.Name()):
			images = append(images, f)
		}
	}
	switch {
	case len(archives) > 0 && len(images) > 0:
		return nil, false, &UsageError{fmt.Errorf("ingest: list: source %.200q holds both shards (%d, as %q) and images (%d, as %q): name one kind by a pattern",
			source, len(archives), archives[0].Name(), len(images), images[0].Name())}
	case len(archives) == 0 && len(images) == 0:
		return nil, false, &UsageError{fmt.Errorf("ingest: list: source %.200q holds neither shards (%s) nor images (.jpg, .jpeg, .png, .webp): found %s",
			source, strings.Join(archiveEndings, ", "), summary(listing.Objects))}
	}
	return append(archives, images...), true, nil
}

// lookUp lists what a source names, by the scheme of its address.
func lookUp(ctx context.Context, cfg Config, source string) (shard.Listing, error) {
	if source == "-" {
		obj := stdin.Process()
		if cfg.Stdin != nil {
			obj = stdin.New(cfg.Stdin)
		}
		return shard.Listing{Objects: []shard.Object{obj}}, nil
	}
	link := &remote.Link{Stall: cfg.StallTimeout, Wait: cfg.wait, Log: cfg.Log, Moved: cfg.moved}
	scheme, _, ok := strings.Cut(source, "://")
	switch {
	case !ok:
		return local.Find(ctx, source)
	case scheme == "s3":
		return s3.Find(ctx, source, s3.Options{Anonymous: cfg.NoSignRequest, Link: link})
	case scheme == "http" || scheme == "https":
		return httpfile.Find(ctx, source, link)
	}
	return shard.Listing{}, &shard.PatternError{Source: remote.Redact(source), Msg: fmt.Sprintf("cannot read %.20s://, want s3://, http:// or https://, files or a directory", scheme)}
}

// summary says what kinds of file there are, the most frequent first.
func summary(files []shard.Object) string {
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
