package remote

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"time"

	"crypto/tls"
	"crypto/x509"

	"clpipe/ingest/shard"
)

// Kind is what to do about a failed request.
type Kind int

// What to do about a failed request.
const (
	Passing  Kind = iota // repeat it
	SlowDown             // repeat it, with fewer beside it
	Final                // it would fail again
)

// Failure is why a request failed. Wrapped in it, fs.ErrNotExist says that
// there is no such file, fs.ErrPermission that access to it is refused.
type Failure struct {
	Kind Kind
	// Why holds neither credentials nor the query of an address.
	Why error
	// RetryAfter is how long the server asks to wait, 0 if it does not.
	RetryAfter time.Duration
}

// Error returns the cause.
func (f *Failure) Error() string { return f.Why.Error() }

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Why }

func final(format string, args ...any) error {
	return &Failure{Kind: Final, Why: fmt.Errorf(format, args...)}
}

// failureOf returns err as a Failure. One of the network is passing, unless it
// says that the server is not there or not the one it claims to be.
func failureOf(err error) *Failure {
	if f := (*Failure)(nil); errors.As(err, &f) {
		return f
	}
	if address := (*url.Error)(nil); errors.As(err, &address) {
		err = address.Err // it would show the query
	}
	var (
		dns       *net.DNSError
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &dns) && dns.IsNotFound,
		errors.As(err, &authority), errors.As(err, &host), errors.As(err, &invalid), errors.As(err, &record):
		return &Failure{Kind: Final, Why: err}
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return &Failure{Why: errors.New("the connection was cut")}
	}
	return &Failure{Why: err}
}

// Error says that a remote file could not be read, or a source not be listed.
// It is a shard.ErrFinal, since all that repeating could do has been done, and
// fs.ErrNotExist or fs.ErrPermission where that is the cause.
type Error struct {
	Op       string // "read" or "list"
	Where    string // the address without credentials and query
	Offset   int64  // byte reached
	Attempts int    // requests in a row that failed
	Why      error
}

// Error says what failed where and why.
func (e *Error) Error() string {
	where := e.Where
	if e.Offset > 0 {
		where = fmt.Sprintf("%s at byte %d", where, e.Offset)
	}
	if e.Attempts > 1 {
		return fmt.Sprintf("%s %s: %v (%d attempts)", e.Op, where, e.Why, e.Attempts)
	}
	return fmt.Sprintf("%s %s: %v", e.Op, where, e.Why)
}

// Is tells what a caller may ask of the error. The cause is not unwrapped: an
// io.EOF among its causes would look like the end of the file.
func (e *Error) Is(target error) bool {
	return target == shard.ErrFinal || (target == fs.ErrNotExist || target == fs.ErrPermission) && errors.Is(e.Why, target)
}
