package remote

import (
	"strconv"
	"strings"
)

// ContentRange reads the header of that name, "bytes FROM-TO/SIZE": RFC 9110,
// section 14.4. size is -1 where it is given as *. The form "bytes */SIZE", of
// which no byte was sent, is not ok.
func ContentRange(header string) (from, size int64, ok bool) {
	rest, ok := strings.CutPrefix(header, "bytes ")
	if !ok {
		return 0, 0, false
	}
	span, total, ok1 := strings.Cut(rest, "/")
	first, last, ok2 := strings.Cut(span, "-")
	from, err1 := strconv.ParseInt(first, 10, 64)
	to, err2 := strconv.ParseInt(last, 10, 64)
	size, err3 := int64(-1), error(nil)
	if total != "*" {
		size, err3 = strconv.ParseInt(total, 10, 64)
	}
	ok = ok1 && ok2 && err1 == nil && err2 == nil && err3 == nil && 0 <= from && from <= to && (size < 0 || to < size)
	return from, size, ok && (size >= 0 || total == "*")
}
