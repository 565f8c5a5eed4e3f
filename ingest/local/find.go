package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"clpipe/ingest/brace"
	"clpipe/ingest/shard"
)

// maxDepth bounds the folders below a root.
const maxDepth = 64

// Find lists the files that source names. In a directory, names beginning with
// "." or "__" are left out, and links to files are followed, links to
// directories not; a link to nothing, as a file that goes meanwhile, is a file of
// unknown length that cannot be opened. A source that names nothing is a *shard.PatternError.
func Find(ctx context.Context, source string) (shard.Listing, error) {
	if source == "" {
		return shard.Listing{}, &shard.PatternError{Source: source, Msg: "is empty"}
	}
	info, err := os.Stat(source)
	switch {
	case err == nil && info.IsDir():
		w := walk{ctx: ctx, root: source}
		err := w.folder("", 0)
		return shard.Listing{Dir: true, Objects: w.files}, err
	case err == nil && info.Mode().IsRegular():
		return shard.Listing{Objects: []shard.Object{&File{source, filepath.Base(source), info.Size()}}}, nil
	case err == nil:
		return shard.Listing{}, &shard.PatternError{Source: source, Msg: fmt.Sprintf("is neither a file nor a directory (mode %v)", info.Mode())}
	case !errors.Is(err, fs.ErrNotExist):
		return shard.Listing{}, err
	case !strings.ContainsAny(source, "{}*?["):
		return shard.Listing{}, &shard.PatternError{Source: source, Msg: "no such file or directory"}
	}
	files, err := match(ctx, source)
	return shard.Listing{Objects: files}, err
}

// match lists what a brace pattern or glob stands for. Paths without a glob
// must all exist; of a glob at least one.
func match(ctx context.Context, source string) ([]shard.Object, error) {
	root := filepath.Dir(source[:strings.IndexAny(source, "{}*?[")] + "x")
	paths, err := brace.Expand(source, shard.MaxObjects)
	if err != nil {
		return nil, &shard.PatternError{Source: source, Msg: err.Error()}
	}
	var files []shard.Object
	var missing []string
	for _, p := range paths {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		matches := []string{p}
		if strings.ContainsAny(p, "*?[") {
			if matches, err = filepath.Glob(p); err != nil {
				return nil, &shard.PatternError{Source: source, Msg: err.Error()}
			}
		}
		for _, m := range matches {
			info, err := os.Stat(m)
			if errors.Is(err, fs.ErrNotExist) {
				missing = append(missing, m)
				continue
			}
			if err != nil {
				return nil, err
			}
			if !info.Mode().IsRegular() {
				continue
			}
			name, err := filepath.Rel(root, m)
			if err != nil {
				return nil, err
			}
			files = append(files, &File{m, filepath.ToSlash(name), info.Size()})
		}
	}
	if len(missing) > 0 {
		return nil, &shard.PatternError{Source: source, Msg: fmt.Sprintf("%d of its %d files are missing, the first is %q", len(missing), len(paths), missing[0])}
	}
	if len(files) == 0 {
		return nil, &shard.PatternError{Source: source, Msg: "no file matches"}
	}
	return files, nil
}

// walk collects the files below a root.
type walk struct {
	ctx   context.Context
	root  string
	files []shard.Object
}

func (w *walk) folder(name string, depth int) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if depth > maxDepth {
		return fmt.Errorf("%s: more than %d folders deep", name, maxDepth)
	}
	entries, err := os.ReadDir(filepath.Join(w.root, filepath.FromSlash(name)))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || strings.HasPrefix(e.Name(), "__") {
			continue
		}
		below := path.Join(name, e.Name())
		if e.IsDir() {
			if err := w.folder(below, depth+1); err != nil {
				return err
			}
			continue
		}
		full := filepath.Join(w.root, filepath.FromSlash(below))
		info, err := os.Stat(full)
		switch {
		case errors.Is(err, fs.ErrNotExist): // whoever wants the file meets the error
			w.files = append(w.files, &File{full, below, -1})
		case err != nil:
			return err
		case info.Mode().IsRegular():
			w.files = append(w.files, &File{full, below, info.Size()})
		}
	}
	return nil
}
