package remote

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
)

// ProxyRefusal is the failure of a request that its proxy answers with 407: it is
// not the server that wants a password.
func ProxyRefusal() *Failure {
	return &Failure{Kind: Final, Why: fmt.Errorf("%w (407 %s): put the proxy's user and password into HTTPS_PROXY or HTTP_PROXY, as http://user:password@proxy:3128",
		fs.ErrPermission, http.StatusText(http.StatusProxyAuthRequired))}
}

// WatchProxy makes what a proxy answers to the opening of a tunnel, which net/http
// reports by its text alone, a ProxyRefusal where it is one.
func WatchProxy(t *http.Transport) {
	t.OnProxyConnectResponse = func(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
		if resp.StatusCode == http.StatusProxyAuthRequired {
			return ProxyRefusal()
		}
		return nil
	}
}
