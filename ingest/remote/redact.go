package remote

import "strings"

// Redact returns an address without what may be secret: user, password, query
// and fragment. Anything without a scheme is returned as it is.
func Redact(address string) string {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		return address
	}
	// A password that holds one of these signs as it is ends the host for whoever
	// reads the address, which is refused then: it is not to be shown for that.
	if end := strings.IndexAny(rest, "/?#"); end >= 0 && !isHost(rest[:end]) {
		rest = rest[strings.LastIndexByte(rest, '@')+1:]
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

// isHost tells whether what stands before the path can be a host, with a user or a
// port or without, or is the first part of USER:PASSWORD.
func isHost(text string) bool {
	text = text[strings.LastIndexByte(text, '@')+1:]
	port := strings.LastIndexByte(text, ':')
	return port < 0 || strings.HasPrefix(text, "[") || strings.Trim(text[port+1:], "0123456789") == ""
}
