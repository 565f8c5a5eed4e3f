package remote

import "strings"

// Redact returns an address without what may be secret: user, password, query
// and fragment. Anything without a scheme is returned as it is.
func Redact(address string) string {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		return address
	}
	rest, _, _ = strings.Cut(rest, "?")
	rest, _, _ = strings.Cut(rest, "#")
	host, below, found := strings.Cut(rest, "/")
	if at := strings.LastIndexByte(host, '@'); at >= 0 {
		host = host[at+1:]
	}
	if found {
		host += "/"
	}
	return scheme + "://" + host + below
}
