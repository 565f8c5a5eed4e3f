package tarshard

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"

	"clpipe/ingest/shard"
)

// splitName returns the key and field of a member, ok false if it has none or
// is to be left out. The key may be a part of the name.
func splitName(name []byte) (key []byte, field string, ok bool) {
	for bytes.HasPrefix(name, []byte("./")) {
		name = name[2:]
	}
	base := 0
	for {
		element := name[base:]
		if bytes.HasPrefix(element, []byte("._")) || bytes.HasPrefix(element, []byte("__")) {
			return nil, "", false
		}
		slash := bytes.IndexByte(element, '/')
		if slash < 0 {
			break
		}
		base += slash + 1
	}
	dot := bytes.IndexByte(name[base:], '.')
	if dot <= 0 {
		return nil, "", false
	}
	key = name[:base+dot]
	if !utf8.Valid(key) {
		key = []byte(shard.Printable(string(key)))
	}
	return key, fieldName(name[base+dot+1:]), true
}

// fieldName returns a field in lower case, the common ones without an allocation.
func fieldName(field []byte) string {
	switch string(field) {
	case "jpg":
		return "jpg"
	case "jpeg":
		return "jpeg"
	case "png":
		return "png"
	case "webp":
		return "webp"
	case "cls":
		return "cls"
	case "json":
		return "json"
	case "txt":
		return "txt"
	}
	return strings.ToLower(string(field))
}

// clip cuts a name of the archive to a length fit for a message.
func clip(name []byte) string {
	const most = 200
	if len(name) <= most {
		return strconv.Quote(string(name))
	}
	return strconv.Quote(string(name[:most])) + "…"
}
