// Package testserver is a server in the test's own process that hands out files
// from memory, with the faults a test asks for: over HTTP with ranges and ETags,
// and as a bucket of the part of the S3 protocol that reading needs.
package testserver

import (
	"bytes"
	"crypto/md5"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Bucket is the first element of the path below which S3 finds the files.
const Bucket = "bucket"

// Server hands out files. Its fields are set before the first request.
type Server struct {
	*httptest.Server
	Files map[string][]byte // by path without the leading slash, or by key
	// Fault answers the n-th request, counted from 1, itself if it wants to.
	Fault func(n int, w http.ResponseWriter, r *http.Request) (answered bool)
	// CutAfter is after how many bytes the connection of the n-th request is
	// cut, -1 for not at all.
	CutAfter func(n int) int
	// PageKeys is how many keys a listing returns at once; 0 is 1000.
	PageKeys int

	requests atomic.Int64
}

// New starts a server that ends with the test.
func New(t testing.TB, files map[string][]byte) *Server {
	s := &Server{Files: files}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

// Requests is how many there were.
func (s *Server) Requests() int { return int(s.requests.Load()) }

// ETag is that of a file.
func ETag(body []byte) string { return fmt.Sprintf(`"%x"`, md5.Sum(body)) }

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	n := int(s.requests.Add(1))
	if s.Fault != nil && s.Fault(n, w, r) {
		return
	}
	if s.CutAfter != nil {
		if left := s.CutAfter(n); left >= 0 {
			w = &cutter{w, left}
		}
	}
	s.answer(w, r)
}

// Answer returns what the server answers to a request, for a Fault to alter
// before it sends it.
func (s *Server) Answer(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.answer(w, r)
	return w
}

// Send sends a recorded answer. Of a body that is shorter than the header says
// the rest never comes: the connection is cut.
func Send(w http.ResponseWriter, answer *httptest.ResponseRecorder) {
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	w.Write(answer.Body.Bytes())
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	key, inBucket := strings.CutPrefix(name, Bucket)
	if inBucket && r.URL.Query().Get("list-type") == "2" {
		s.list(w, r)
		return
	}
	if inBucket {
		name = strings.TrimPrefix(key, "/")
	}
	body, ok := s.Files[name]
	if !ok {
		Refuse(w, http.StatusNotFound, "NoSuchKey")
		return
	}
	w.Header().Set("ETag", ETag(body))
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

// Refuse answers with an error as S3 does.
func Refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>as the test wants it</Message></Error>", code)
}

// cutter cuts the connection after so many bytes of body.
type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Write(p []byte) (int, error) {
	if len(p) < c.left {
		c.left -= len(p)
		return c.ResponseWriter.Write(p)
	}
	c.ResponseWriter.Write(p[:c.left])
	c.ResponseWriter.(http.Flusher).Flush()
	panic(http.ErrAbortHandler) // what net/http calls cutting a connection
}

type listing struct {
	XMLName               xml.Name `xml:"ListBucketResult"`
	EncodingType          string   `xml:",omitempty"`
	IsTruncated           bool
	NextContinuationToken string `xml:",omitempty"`
	Contents              []object
}

type object struct {
	Key, ETag string
	Size      int
}

// list answers ListObjectsV2. The token is the last key of the page before.
func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	most := 1000
	if s.PageKeys > 0 {
		most = s.PageKeys
	}
	if asked, err := strconv.Atoi(query.Get("max-keys")); err == nil {
		most = min(most, asked)
	}
	var out listing
	for _, key := range slices.Sorted(maps.Keys(s.Files)) {
		if !strings.HasPrefix(key, query.Get("prefix")) || key <= query.Get("continuation-token") {
			continue
		}
		if len(out.Contents) == most {
			out.IsTruncated = true
			out.NextContinuationToken = out.Contents[most-1].Key
			break
		}
		out.Contents = append(out.Contents, object{key, ETag(s.Files[key]), len(s.Files[key])})
	}
	if out.EncodingType = query.Get("encoding-type"); out.EncodingType == "url" {
		for i := range out.Contents {
			key := &out.Contents[i].Key
			*key = strings.ReplaceAll(url.QueryEscape(*key), "%2F", "/")
		}
	}
	w.Header().Set("Content-Type", "application/xml")
	if err := xml.NewEncoder(w).Encode(out); err != nil {
		panic(http.ErrAbortHandler) // the client has left
	}
}
