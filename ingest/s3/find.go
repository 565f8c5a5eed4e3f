package s3

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"strings"

	"clpipe/ingest/brace"
	"clpipe/ingest/remote"
	"clpipe/ingest/shard"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
)

// Find lists the objects that source names. Below a prefix, keys with an
// element that begins with "." or "__" are left out. A source that names
// nothing is a *shard.PatternError, other errors are *remote.Error.
func Find(ctx context.Context, source string, opts Options) (shard.Listing, error) {
	wrong := func(format string, args ...any) error {
		return &shard.PatternError{Source: remote.Redact(source), Msg: fmt.Sprintf(format, args...)}
	}
	name, below, _ := strings.Cut(strings.TrimPrefix(source, "s3://"), "/")
	if name == "" || strings.ContainsAny(name, "{}*?[@") || strings.Contains(name, ":") && !strings.HasPrefix(name, "arn:") {
		return shard.Listing{}, wrong("names no bucket, want s3://bucket/prefix")
	}
	b, err := newBucket(ctx, name, opts)
	if err != nil {
		return shard.Listing{}, err
	}
	var found shard.Listing
	if strings.ContainsAny(below, "{}*?[") {
		found, err = b.match(ctx, below)
	} else {
		found, err = b.below(ctx, below)
	}
	var pattern patternError
	switch {
	case errors.As(err, &pattern):
		return shard.Listing{}, wrong("%s", string(pattern))
	case errors.Is(err, fs.ErrNotExist):
		return shard.Listing{}, wrong("there is no bucket %q", name)
	}
	return found, err
}

// patternError says why a source names nothing.
type patternError string

func (e patternError) Error() string { return string(e) }

// below lists the object of the given key, or else all objects below it.
func (b *bucket) below(ctx context.Context, key string) (shard.Listing, error) {
	if key != "" && !strings.HasSuffix(key, "/") {
		first, err := b.list(ctx, key, 1) // no longer key comes before it
		if err != nil {
			return shard.Listing{}, err
		}
		if len(first) == 1 && first[0].key == key {
			return shard.Listing{Objects: []shard.Object{b.object(first[0], folderOf(key))}}, nil
		}
		key += "/"
	}
	all, err := b.list(ctx, key, 0)
	if err != nil {
		return shard.Listing{}, err
	}
	if len(all) == 0 {
		return shard.Listing{}, patternError("no object has this key or prefix")
	}
	found := shard.Listing{Dir: true}
	for _, e := range all {
		if !hidden(e.key[len(key):]) {
			found.Objects = append(found.Objects, b.object(e, key))
		}
	}
	return found, nil
}

// hidden tells whether a key is left out below a prefix, as a marker of a
// folder is, which ends in a slash.
func hidden(name string) bool {
	for element := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(element, ".") || strings.HasPrefix(element, "__") {
			return true
		}
	}
	return name == "" || strings.HasSuffix(name, "/")
}

// match lists what a brace pattern or glob stands for. Keys without a glob must
// all exist; of a glob at least one.
func (b *bucket) match(ctx context.Context, pattern string) (shard.Listing, error) {
	patterns, err := brace.Expand(pattern, shard.MaxObjects)
	if err != nil {
		return shard.Listing{}, patternError(err.Error())
	}
	fixed := pattern[:strings.IndexAny(pattern, "{}*?[")]
	all, err := b.list(ctx, fixed, 0)
	if err != nil {
		return shard.Listing{}, err
	}
	place := make(map[string]int, len(all))
	for i, e := range all {
		place[e.key] = i
	}
	var found shard.Listing
	var missing []string
	add := func(e entry) { found.Objects = append(found.Objects, b.object(e, folderOf(fixed))) }
	for _, p := range patterns {
		if !strings.ContainsAny(p, "*?[") {
			if i, ok := place[p]; ok {
				add(all[i])
			} else {
				missing = append(missing, p)
			}
			continue
		}
		for _, e := range all {
			ok, err := path.Match(p, e.key)
			if err != nil {
				return shard.Listing{}, patternError(err.Error())
			}
			if ok && !strings.HasSuffix(e.key, "/") {
				add(e)
			}
		}
	}
	switch {
	case len(missing) > 0:
		return shard.Listing{}, patternError(fmt.Sprintf("%d of its %d objects are missing, the first is %.200q", len(missing), len(patterns), missing[0]))
	case len(found.Objects) == 0:
		return shard.Listing{}, patternError("no object matches")
	}
	return found, nil
}

// folderOf is a key up to its last slash.
func folderOf(key string) string { return key[:strings.LastIndexByte(key, '/')+1] }

// entry is an object as it is listed.
type entry struct {
	key, version string
	size         int64
}

// list returns the objects whose keys begin with prefix, at most limit if that
// is not 0.
func (b *bucket) list(ctx context.Context, prefix string, limit int32) ([]entry, error) {
	// Not every key may stand in XML as it is.
	in := &sdk.ListObjectsV2Input{Bucket: &b.name, Prefix: &prefix, EncodingType: "url"}
	if limit > 0 {
		in.MaxKeys = &limit
	}
	var all []entry
	for {
		var page *sdk.ListObjectsV2Output
		err := b.link.Do(ctx, "list", "s3://"+b.name+"/"+prefix, func(ctx context.Context) (err error) {
			page, err = b.client.ListObjectsV2(ctx, in, b.inRegion)
			return b.failure(err)
		})
		if err != nil {
			return nil, err
		}
		for _, o := range page.Contents {
			key := aws.ToString(o.Key)
			if page.EncodingType == "url" { // a store may not know it
				if plain, err := url.QueryUnescape(key); err == nil {
					key = plain
				}
			}
			if o.Size == nil || !strings.HasPrefix(key, prefix) {
				continue // no answer to what was asked
			}
			all = append(all, entry{key, aws.ToString(o.ETag), *o.Size})
		}
		if len(all) > shard.MaxObjects {
			return nil, patternError(fmt.Sprintf("stands for more than %d objects", shard.MaxObjects))
		}
		next := page.NextContinuationToken
		if limit > 0 || !aws.ToBool(page.IsTruncated) || next == nil || aws.ToString(in.ContinuationToken) == *next {
			return all, nil
		}
		in.ContinuationToken = next
	}
}

func (b *bucket) object(e entry, root string) *remote.Object {
	return &remote.Object{
		Link: b.link,
		Get: func(ctx context.Context, r remote.Request) (*remote.Response, error) {
			return b.get(ctx, e.key, r)
		},
		Where: "s3://" + b.name + "/" + e.key, Below: e.key[len(root):],
		Bytes: e.size, Version: e.version, Ranges: true,
	}
}
