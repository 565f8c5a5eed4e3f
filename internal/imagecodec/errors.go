package imagecodec

import (
	"errors"
	"fmt"
)

// FormatError says that a file breaks the rules of its format.
type FormatError struct {
	Format string // "jpeg", "png" or "webp"
	Offset int    // byte of the file at which it showed; -1 unknown
	Msg    string
}

func (e *FormatError) Error() string {
	return message(e.Format, e.Offset, "invalid: "+e.Msg)
}

// UnsupportedError says that a file uses a feature this package does not have.
type UnsupportedError struct {
	Format string // "jpeg", "png" or "webp"; empty if the format itself is unknown
	Offset int    // byte of the file at which it showed; -1 unknown
	Msg    string
}

func (e *UnsupportedError) Error() string {
	return message(e.Format, e.Offset, "unsupported: "+e.Msg)
}

// TruncatedError says that a file ends before its picture does.
type TruncatedError struct {
	Format string
	Offset int // length of the file
	Msg    string
}

func (e *TruncatedError) Error() string {
	return message(e.Format, e.Offset, "truncated: "+e.Msg)
}

// LimitError says that a file asks for more than Limits allow.
type LimitError struct {
	Format   string
	What     string // the quantity: "pixels" or "scans"
	Got, Max int64
}

func (e *LimitError) Error() string {
	return message(e.Format, -1, fmt.Sprintf("over the limit: got %d %s, want at most %d", e.Got, e.What, e.Max))
}

func message(format string, offset int, cause string) string {
	operation := "decode"
	if format != "" {
		operation += " " + format
	}
	if offset < 0 {
		return fmt.Sprintf("imagecodec: %s: %s", operation, cause)
	}
	return fmt.Sprintf("imagecodec: %s: offset %d: %s", operation, offset, cause)
}

func unknownMagic(data []byte) error {
	return &UnsupportedError{Offset: 0, Msg: fmt.Sprintf("got first bytes %q, want jpeg, png or webp", data[:min(len(data), 8)])}
}

// ErrNoSystemTag is SystemDecoder's where libraries are not looked for.
var ErrNoSystemTag = errors.New("imagecodec: built without the tag system")
