package httpfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"clpipe/ingest/remote"
)

// client makes the requests of one source.
type client struct {
	http http.Client
	// hubToken is sent to huggingface.co.
	hubToken string
	// logins are for addresses without user and password.
	logins netrc
}

func newClient() *client {
	var http1 http.Protocols
	http1.SetHTTP1(true) // a connection for each file: in HTTP/2 they would share one's window
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		Protocols:           &http1,
		DisableCompression:  true, // ranges are those of the file as it is stored
		MaxIdleConnsPerHost: remote.MaxIdle,
		IdleConnTimeout:     10 * time.Second,
		TLSHandshakeTimeout: 10 * time.Second,
	}
	remote.WatchProxy(transport)
	return &client{
		http:     http.Client{Transport: transport, CheckRedirect: redirected},
		hubToken: strings.TrimSpace(os.Getenv("HF_TOKEN")),
		logins:   readNetrc(),
	}
}

// maxRedirects is how many may follow each other: net/http's own limit.
const maxRedirects = 10

// redirected takes from a request that another was redirected to what its server is
// not to know. net/http would name the address before, with a query that may sign
// it, and show who one is to hosts below the first one's name and at its other ports.
func redirected(req *http.Request, via []*http.Request) error {
	if len(via) >= maxRedirects {
		return fmt.Errorf("stopped after %d redirects", maxRedirects)
	}
	req.Header.Del("Referer")
	if !sameServer(via[0].URL, req.URL) {
		req.Header.Del("Authorization")
	}
	return nil
}

// sameServer tells whether an address leads to the server of the one before, or to
// that by TLS.
func sameServer(before, now *url.URL) bool {
	port := func(u *url.URL) string {
		if u.Port() == "" {
			return map[string]string{"http": "80", "https": "443"}[u.Scheme]
		}
		return u.Port()
	}
	secured := before.Scheme == "http" && port(before) == "80" && now.Scheme == "https" && port(now) == "443"
	return before.Hostname() == now.Hostname() && (secured || before.Scheme == now.Scheme && port(before) == port(now))
}

// probe asks for the first byte of a file, which tells its length, its version
// and whether the server sends parts. Not every server answers HEAD, and signed
// addresses are for GET.
func (c *client) probe(ctx context.Context, f file, link *remote.Link) (*remote.Object, error) {
	obj := &remote.Object{Link: link, Where: f.where(), Below: f.name}
	obj.Get = func(ctx context.Context, r remote.Request) (*remote.Response, error) { return c.get(ctx, f.url, r) }
	err := link.Do(ctx, "list", obj.Where, func(ctx context.Context) error {
		resp, err := c.send(ctx, f.url, "bytes=0-0", "")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		size, empty := strings.CutPrefix(resp.Header.Get("Content-Range"), "bytes */")
		switch {
		case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && empty && size == "0":
			obj.Bytes, obj.Version = 0, version(resp)
			return nil
		case resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusPartialContent:
			return failure(resp)
		}
		got, err := response(resp)
		if err != nil {
			return err
		}
		obj.Bytes, obj.Version = got.Size, got.Version
		if !strings.HasPrefix(obj.Version, `"`) { // a time, or a tag that several files may have
			obj.Identity = f.identity()
		}
		obj.Ranges = resp.StatusCode == http.StatusPartialContent && got.Size >= 0
		return nil
	})
	return obj, err
}

func (c *client) get(ctx context.Context, u *url.URL, r remote.Request) (*remote.Response, error) {
	span := ""
	switch {
	case r.To >= 0:
		span = fmt.Sprintf("bytes=%d-%d", r.From, r.To)
	case r.From > 0:
		span = fmt.Sprintf("bytes=%d-", r.From)
	}
	resp, err := c.send(ctx, u, span, r.Version)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusPartialContent {
		resp.Body.Close()
		return nil, failure(resp)
	}
	got, err := response(resp)
	if err != nil {
		resp.Body.Close()
		return nil, err
	}
	return got, nil
}

func (c *client) send(ctx context.Context, u *url.URL, span, version string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, &remote.Failure{Kind: remote.Final, Why: errors.New("no valid address")}
	}
	if span != "" {
		req.Header.Set("Range", span)
	}
	if strings.HasPrefix(version, `"`) { // neither a weak tag nor a date can be demanded
		req.Header.Set("If-Match", version)
	}
	who, known := c.logins.of(u.Hostname())
	switch {
	case u.User != nil: // net/http would send it to this address, and to none that it redirects to
		password, _ := u.User.Password()
		req.SetBasicAuth(u.User.Username(), password)
	case u.Scheme == "https" && u.Host == "huggingface.co" && c.hubToken != "":
		req.Header.Set("Authorization", "Bearer "+c.hubToken)
	case known:
		req.SetBasicAuth(who.user, who.password)
	}
	return c.http.Do(req)
}

// version is the file's ETag, or else the time of its last change.
func version(resp *http.Response) string {
	if tag := resp.Header.Get("ETag"); tag != "" {
		return tag
	}
	return resp.Header.Get("Last-Modified")
}

// response returns an answer of status 200 or 206.
func response(resp *http.Response) (*remote.Response, error) {
	got := &remote.Response{Body: resp.Body, Size: resp.ContentLength, Version: version(resp)}
	if resp.StatusCode == http.StatusPartialContent {
		var ok bool
		header := resp.Header.Get("Content-Range")
		if got.From, got.Size, ok = remote.ContentRange(header); !ok {
			return nil, &remote.Failure{Kind: remote.Final, Why: fmt.Errorf("the server sent the part %.100q, want a Content-Range as \"bytes 0-1/2\"", header)}
		}
	}
	return got, nil
}

// failure says what a status other than 200 and 206 means.
func failure(resp *http.Response) *remote.Failure {
	f := &remote.Failure{Kind: remote.Final, RetryAfter: remote.RetryAfter(resp.Header.Get("Retry-After"), time.Now())}
	status := strconv.Itoa(resp.StatusCode) + " " + http.StatusText(resp.StatusCode)
	switch resp.StatusCode {
	case http.StatusProxyAuthRequired:
		return remote.ProxyRefusal()
	case http.StatusUnauthorized, http.StatusForbidden:
		f.Why = fmt.Errorf("%w (%s): put user and password into ~/.netrc or into the address, as https://user:password@host/, or sign it anew if it has a signature that expires", fs.ErrPermission, status)
	case http.StatusNotFound, http.StatusGone:
		f.Why = fmt.Errorf("%s: %w", status, fs.ErrNotExist)
	case http.StatusPreconditionFailed:
		f.Why = fmt.Errorf("the file has changed since it was listed (%s)", status)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		f.Kind, f.Why = remote.SlowDown, errors.New(status)
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout:
		f.Kind, f.Why = remote.Passing, errors.New(status)
	default:
		f.Why = fmt.Errorf("%s, want 200 or 206", status)
	}
	return f
}
