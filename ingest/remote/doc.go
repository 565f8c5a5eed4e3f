// Package remote reads files that answer to requests for ranges of bytes, as
// those of HTTP servers and S3 do. Packages httpfile and s3 say how a request is
// made; here is what happens when one fails.
//
// A body that is cut off, or of which no byte comes for the stall limit, goes on
// with a new request from the byte that was reached: whoever reads it, with the
// state of gzip, zstd and tar alive, notices nothing. The new answer must be of
// the same version (the ETag), begin at that byte and belong to a file of the
// same length, or reading ends with an error; the whole file is never taken for
// the rest of it. Requests are repeated with waits that grow and are drawn at
// random, so that many readers do not come back at once, and never sooner than
// the server's Retry-After. When a server asks to slow down, half as many files
// are read at a time (see gate).
package remote
