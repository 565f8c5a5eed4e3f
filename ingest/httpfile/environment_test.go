package httpfile_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"clpipe/ingest/httpfile"
	"clpipe/ingest/internal/testserver"
	"clpipe/ingest/remote"
	"clpipe/ingest/shard"

	"go.uber.org/goleak"
)

// askEnvironment makes the test binary a program that reads a source and prints
// what it holds. What the environment says is read once in a process, so that
// each case has its own.
const askEnvironment = "CLPIPE_TEST_SOURCE"

func TestMain(m *testing.M) {
	if source := os.Getenv(askEnvironment); source != "" {
		fmt.Print(ask(source))
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// ask reads the one file of a source.
func ask(source string) string {
	l := &remote.Link{Attempts: 2, Wait: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}
	found, err := httpfile.Find(context.Background(), source, l)
	if err != nil {
		return err.Error()
	}
	body := make([]byte, found.Objects[0].Size())
	if err := shard.ReadRange(context.Background(), found.Objects[0], body, 0); err != nil {
		return err.Error()
	}
	return string(body)
}

func TestEnvironment(t *testing.T) {
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	requests := make(chan string, 100) // "host authorization" of each
	server := testserver.New(t, map[string][]byte{"0.tar": []byte("the file")})
	server.Fault = func(_ int, w http.ResponseWriter, r *http.Request) bool {
		who := r.Header.Get("Authorization")
		if user, password, ok := r.BasicAuth(); ok {
			who = user + ":" + password
		}
		requests <- strings.TrimSpace(r.Host + " " + who)
		if r.URL.Path == "/away.tar" {
			http.Redirect(w, r, "https://cdn.example/0.tar", http.StatusFound)
			return true
		}
		return false
	}
	world := testserver.NewWorld(t, server, "huggingface.co", "host.example", "cdn.example")
	netrc := filepath.Join(t.TempDir(), "netrc")
	if err := os.WriteFile(netrc, []byte("machine host.example login ann password hidden\nmachine huggingface.co login ann password hidden\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, ".netrc"), []byte("default login home password hidden"), 0o600); err != nil {
		t.Fatal(err)
	}
	tls := []string{"HTTPS_PROXY=" + world.Proxy, "SSL_CERT_FILE=" + world.CAFile}
	plain := []string{"HTTP_PROXY=" + world.Proxy}
	refusing := testserver.RefusingProxy(t)

	cases := []struct {
		name, source string
		env          []string
		want         string // host and authorization of the requests
		err          string // part of the error
	}{
		{"HTTP_PROXY", "http://host.example/0.tar", plain, "host.example", ""},
		{"HTTPS_PROXY, SSL_CERT_FILE", "https://host.example/0.tar", tls, "host.example", ""},
		{"a certificate nobody knows", "https://host.example/0.tar", tls[:1], "", "certificate signed by unknown authority"},
		{"NO_PROXY", "http://host.invalid/0.tar", append(plain, "NO_PROXY=.invalid"), "", "lookup host.invalid"},
		{"HTTP_PROXY that asks who it is", "http://host.example/0.tar", []string{"HTTP_PROXY=" + refusing}, "", "(407 Proxy Authentication Required): put the proxy's user"},
		{"HTTPS_PROXY that asks who it is", "https://host.example/0.tar", []string{"HTTPS_PROXY=" + refusing}, "", "(407 Proxy Authentication Required): put the proxy's user"},
		{"NETRC", "http://host.example/0.tar", append(plain, "NETRC="+netrc), "host.example ann:hidden", ""},
		{".netrc", "http://host.example/0.tar", append(plain, "HOME="+home), "host.example home:hidden", ""},
		{"the address before .netrc", "http://bob:own@host.example/0.tar", append(plain, "NETRC="+netrc), "host.example bob:own", ""},
		{"HF_TOKEN", "https://huggingface.co/0.tar", append(tls, "HF_TOKEN=hidden"), "huggingface.co Bearer hidden", ""},
		{"HF_TOKEN before .netrc", "https://huggingface.co/0.tar", append(tls, "HF_TOKEN=hidden", "NETRC="+netrc), "huggingface.co Bearer hidden", ""},
		{"HF_TOKEN for another host", "https://host.example/0.tar", append(tls, "HF_TOKEN=hidden"), "host.example", ""},
		{"HF_TOKEN without TLS", "http://huggingface.co/0.tar", append(plain, "HF_TOKEN=hidden"), "huggingface.co", ""},
		{"sent on to another host", "https://huggingface.co/away.tar", append(tls, "HF_TOKEN=hidden"), "cdn.example, huggingface.co Bearer hidden", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if runtime.GOOS != "linux" && (strings.HasPrefix(c.source, "https:") || c.name == ".netrc") {
				t.Skip("neither certificates nor the home directory come from the environment")
			}
			child := exec.CommandContext(t.Context(), executable)
			child.Env = append([]string{askEnvironment + "=" + c.source, "HOME=" + t.TempDir(), "SYSTEMROOT=" + os.Getenv("SYSTEMROOT")}, c.env...)
			out, err := child.CombinedOutput()
			var asked []string
			for range len(requests) {
				asked = append(asked, <-requests)
			}
			slices.Sort(asked)
			asked = slices.Compact(asked)
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if strings.Contains(string(out), "hidden") {
				t.Errorf("a secret is shown: %s", out)
			}
			if c.err != "" {
				if !strings.Contains(string(out), c.err) {
					t.Errorf("got %s, want an error with %q", out, c.err)
				}
				return
			}
			if string(out) != "the file" || strings.Join(asked, ", ") != c.want {
				t.Errorf("got %q, asked by %q, want %q", out, asked, c.want)
			}
		})
	}
}
