package testserver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// World is a proxy behind which every host is one server: what a program sends
// to huggingface.co or Amazon can be looked at without leaving the machine.
type World struct {
	Proxy  string // its address, as HTTPS_PROXY and HTTP_PROXY take it
	CAFile string // the authority that the hosts' certificate comes from
}

// NewWorld starts the proxy. The server takes the place of all hosts; over TLS it
// has a certificate for those named. In the hosts of S3's own form the bucket is
// the first part of the name and the path is what s expects of a bucket.
func NewWorld(t testing.TB, s *Server, hosts ...string) World {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: hosts, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	for _, host := range hosts {
		if below, wild := strings.CutPrefix(host, "*."); wild { // S3's hosts have three parts more
			template.DNSNames = append(template.DNSNames, "*.s3.us-east-1."+below, "*.s3.eu-west-1."+below)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	w := World{CAFile: filepath.Join(t.TempDir(), "ca.pem")}
	if err := os.WriteFile(w.CAFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	inner := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Host, Bucket+".s3.") {
			r.URL.Path = "/" + Bucket + r.URL.Path
		}
		s.serve(w, r)
	}))
	inner.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	inner.StartTLS()
	t.Cleanup(inner.Close)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodConnect {
			tunnel(w, inner.Listener.Addr().String())
			return
		}
		s.serve(w, r)
	}))
	t.Cleanup(proxy.Close)
	w.Proxy = proxy.URL
	return w
}

// RefusingProxy starts a proxy that wants to know its user, and returns its address.
func RefusingProxy(t testing.TB) string {
	t.Helper()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Proxy-Authenticate", `Basic realm="proxy"`)
		w.WriteHeader(http.StatusProxyAuthRequired)
	}))
	t.Cleanup(proxy.Close)
	return proxy.URL
}

// tunnel joins the client's connection to one to target.
func tunnel(w http.ResponseWriter, target string) {
	out, err := net.Dial("tcp", target)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer out.Close()
	w.WriteHeader(http.StatusOK)
	in, read, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer in.Close()
	go func() {
		io.Copy(out, read) // the server may have read the client's first byte already
		out.Close()
	}()
	io.Copy(in, out)
}
