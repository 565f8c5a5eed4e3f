package httpfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"

	"clpipe/ingest/brace"
	"clpipe/ingest/remote"
	"clpipe/ingest/shard"

	"golang.org/x/sync/errgroup"
)

// maxProbes is how many files are looked at together: enough that a thousand
// take seconds, few enough for any server.
const maxProbes = 16

// Find asks for length and version of each file that source names. A source
// that names nothing is a *shard.PatternError, other errors are *remote.Error.
func Find(ctx context.Context, source string, link *remote.Link) (shard.Listing, error) {
	files, err := parse(source)
	if err != nil {
		return shard.Listing{}, err
	}
	client := newClient()
	objects := make([]shard.Object, len(files))
	probes, ctx := errgroup.WithContext(ctx)
	probes.SetLimit(maxProbes)
	for i, f := range files {
		probes.Go(func() error {
			obj, err := client.probe(ctx, f, link)
			if errors.Is(err, fs.ErrNotExist) {
				return &shard.PatternError{Source: remote.Redact(source), Msg: fmt.Sprintf("there is no %s", f.where())}
			}
			objects[i] = obj
			return err
		})
	}
	if err := probes.Wait(); err != nil {
		return shard.Listing{}, err
	}
	return shard.Listing{Objects: objects}, nil
}

// file is a file that was named.
type file struct {
	url  *url.URL // with user, password and query
	name string   // below the root
}

func (f *file) where() string { return remote.Redact(f.url.String()) }

// identity is the address with its query, which may sign it, without user and
// password.
func (f *file) identity() string {
	u := *f.url
	u.User = nil
	return u.String()
}

// parse returns the files that an address or brace pattern stands for.
func parse(source string) ([]file, error) {
	wrong := func(format string, args ...any) error {
		return &shard.PatternError{Source: remote.Redact(source), Msg: fmt.Sprintf(format, args...)}
	}
	address, query, hasQuery := strings.Cut(source, "?")
	if hasQuery {
		query = "?" + query
	}
	scheme, rest, _ := strings.Cut(address, "://")
	host, below, _ := strings.Cut(rest, "/")
	switch {
	case host[strings.LastIndexByte(host, '@')+1:] == "":
		return nil, wrong("names no host")
	case strings.ContainsAny(host, "{}"):
		return nil, wrong("has braces in the host, want them in the path")
	case below == "" || strings.HasSuffix(below, "/"):
		return nil, wrong("HTTP lists no directories: name files, as train-{000000..000009}.tar in it")
	case strings.Contains(below, "*"):
		return nil, wrong("HTTP matches no globs: name files by a brace pattern as train-{000000..000009}.tar")
	}
	paths, err := brace.Expand(below, shard.MaxObjects)
	if err != nil {
		return nil, wrong("%v", err)
	}
	fixed := below
	if wild := strings.IndexByte(below, '{'); wild >= 0 {
		fixed = below[:wild]
	}
	root := fixed[:strings.LastIndexByte(fixed, '/')+1] // a pattern has it in common
	files := make([]file, len(paths))
	for i, p := range paths {
		u, err := url.Parse(scheme + "://" + host + "/" + p + query)
		if err != nil || u.Host == "" {
			return nil, wrong("is no address") // an error of url would show it
		}
		name, err := url.PathUnescape(strings.TrimPrefix(p, root))
		if err != nil || name == "" || strings.HasSuffix(name, "/") {
			return nil, wrong("names no file")
		}
		files[i] = file{u, name}
	}
	return files, nil
}
