package tarshard

import (
	"path"
	"strconv"
	"strings"

	"clpipe/ingest/shard"
)

// splitName returns the key and field of a member, ok false if it has none or
// is to be left out.
func splitName(name string) (key, field string, ok bool) {
	for strings.HasPrefix(name, "./") {
		name = name[2:]
	}
	for element := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(element, "._") || strings.HasPrefix(element, "__") {
			return "", "", false
		}
	}
	dir, base := path.Split(name)
	stem, field, found := strings.Cut(base, ".")
	if !found || stem == "" {
		return "", "", false
	}
	return shard.Printable(dir + stem), strings.ToLower(field), true
}

// clip cuts a name of the archive to a length fit for a message.
func clip(name string) string {
	const most = 200
	if len(name) <= most {
		return strconv.Quote(name)
	}
	return strconv.Quote(name[:most]) + "…"
}
