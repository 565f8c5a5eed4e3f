package s3_test

import (
	"context"
	"crypto/sha1"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"clpipe/ingest/internal/testserver"
	"clpipe/ingest/remote"
	"clpipe/ingest/s3"
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

// ask reads the one object of a source.
func ask(source string) string {
	source, anonymous := strings.CutPrefix(source, "anonymous ")
	opts := s3.Options{Anonymous: anonymous, Link: &remote.Link{Wait: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}}
	found, err := s3.Find(context.Background(), source, opts)
	if err != nil {
		return err.Error()
	}
	body := make([]byte, found.Objects[0].Size())
	if err := shard.ReadRange(context.Background(), found.Objects[0], body, 0); err != nil {
		return err.Error()
	}
	return string(body)
}

// grants is who gives credentials: the token service, a container's agent, an
// instance and the portal of single sign-on, each under keys of its own.
type grants struct {
	*httptest.Server
	mu        sync.Mutex
	served    int
	faltering int // requests to the token service that refuses the second
}

func newGrants(t *testing.T) *grants {
	g := &grants{}
	g.Server = httptest.NewServer(g)
	t.Cleanup(g.Close)
	return g
}

// ServeHTTP numbers the keys, which have run out when they are handed out where
// the path says so.
func (g *grants) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	const instance = "/latest/meta-data/iam/security-credentials/"
	g.mu.Lock()
	g.served++
	n := g.served
	expires := time.Now().Add(time.Hour).UTC()
	refused := false
	if strings.HasPrefix(r.URL.Path, "/faltering") {
		g.faltering++
		refused = g.faltering == 2
		if g.faltering == 1 {
			expires = time.Now().Add(-time.Minute).UTC()
		}
	}
	g.mu.Unlock()
	secret := func(key string) map[string]any {
		return map[string]any{"Code": "Success", "AccessKeyId": key, "SecretAccessKey": "secret", "Token": "token-of-" + key, "Expiration": expires.Format(time.RFC3339)}
	}
	answer := func(v any) {
		if err := json.NewEncoder(w).Encode(v); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
	switch {
	case refused:
		http.Error(w, "not now", http.StatusForbidden)
	case r.URL.Path == "/agent" && r.Header.Get("Authorization") == "agent's":
		answer(secret("CONTAINER"))
	case r.URL.Path == "/short":
		expires = time.Now().Add(-time.Minute).UTC()
		answer(secret(fmt.Sprintf("SHORT%d", n)))
	case r.Method == http.MethodPut && r.URL.Path == "/latest/api/token":
		w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "60")
		fmt.Fprint(w, "session")
	case r.Header.Get("X-Aws-Ec2-Metadata-Token") == "session" && r.URL.Path == instance:
		fmt.Fprint(w, "role")
	case r.Header.Get("X-Aws-Ec2-Metadata-Token") == "session" && r.URL.Path == instance+"role":
		answer(secret("INSTANCE"))
	case r.URL.Path == "/federation/credentials" && r.Header.Get("X-Amz-Sso_bearer_token") == "signed-on":
		answer(map[string]any{"roleCredentials": map[string]any{"accessKeyId": "SIGNON", "secretAccessKey": "secret", "sessionToken": "token-of-SIGNON", "expiration": expires.UnixMilli()}})
	case r.Method == http.MethodPost:
		action := r.FormValue("Action")
		key := map[string]string{"AssumeRoleWithWebIdentity": "WEB" + r.FormValue("WebIdentityToken"), "AssumeRole": "ASSUMED"}[action]
		w.Header().Set("Content-Type", "text/xml")
		fmt.Fprintf(w, `<%sResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><%[1]sResult><Credentials><AccessKeyId>%s</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>token-of-%[2]s</SessionToken><Expiration>%s</Expiration></Credentials></%[1]sResult></%[1]sResponse>`,
			action, key, expires.Format(time.RFC3339))
	default:
		http.NotFound(w, r)
	}
}

// TestEnvironment reads an object under what a user may have set, and looks at
// how the store was asked.
func TestEnvironment(t *testing.T) {
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	requests := make(chan string, 100) // "key region token" of each
	store := testserver.New(t, map[string][]byte{"set/0.tar": []byte("the object")})
	store.Fault = func(_ int, _ http.ResponseWriter, r *http.Request) bool {
		who := "unsigned"
		if _, credential, signed := strings.Cut(r.Header.Get("Authorization"), "Credential="); signed {
			part := strings.Split(credential, "/")
			who = part[0] + " " + part[2] + " " + r.Header.Get("X-Amz-Security-Token")
		}
		requests <- strings.TrimSpace(who)
		return false
	}
	elsewhere := testserver.New(t, nil)
	world := testserver.NewWorld(t, store, "*.amazonaws.com", "store.example")
	refusing := testserver.RefusingProxy(t)
	grants := newGrants(t)

	home := t.TempDir()
	write := func(name, body string) string {
		path := filepath.Join(home, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(body), 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	helper := write("helper", "#!/bin/sh\necho '{\"Version\":1,\"AccessKeyId\":\"HELPER\",\"SecretAccessKey\":\"secret\"}'\n")
	write(".aws/credentials", "[default]\naws_access_key_id = DEFAULT\naws_secret_access_key = secret\n[work]\naws_access_key_id = WORK\naws_secret_access_key = secret\n")
	write(".aws/config", `[profile work]
region = eu-west-3
[profile assume]
role_arn = arn:aws:iam::123456789012:role/reader
source_profile = work
[profile helper]
credential_process = `+helper+`
[profile endpoint]
services = own
aws_access_key_id = WORK
aws_secret_access_key = secret
[services own]
s3 =
  endpoint_url = `+store.URL+`
[profile sso]
sso_session = session
sso_account_id = 123456789012
sso_role_name = reader
[sso-session session]
sso_region = us-east-1
sso_start_url = https://portal.example/start
`)
	write(fmt.Sprintf(".aws/sso/cache/%x.json", sha1.Sum([]byte("session"))),
		fmt.Sprintf(`{"accessToken":"signed-on","expiresAt":%q}`, time.Now().Add(time.Hour).UTC().Format(time.RFC3339)))
	other := write("elsewhere/credentials", "[default]\naws_access_key_id = OTHER\naws_secret_access_key = secret\n")
	otherConfig := write("elsewhere/config", "[default]\nregion = ap-south-1\n")
	identity := write("identity", "IDENTITY")
	empty := "HOME=" + t.TempDir()
	keys := []string{"AWS_ACCESS_KEY_ID=USER", "AWS_SECRET_ACCESS_KEY=secret"}

	cases := []struct {
		name string
		env  []string // beside HOME, the endpoint and no metadata service; the last of a name counts
		want string   // how the store was asked; of several ways the last
		err  string   // part of the error
	}{
		{"keys", keys, "USER us-east-1", ""},
		{"keys and session", append(keys, "AWS_SESSION_TOKEN=session"), "USER us-east-1 session", ""},
		{"keys before profile", append(keys, "AWS_REGION=eu-west-1"), "USER eu-west-1", ""},
		{"AWS_REGION before AWS_DEFAULT_REGION", append(keys, "AWS_DEFAULT_REGION=eu-west-1", "AWS_REGION=eu-west-2"), "USER eu-west-2", ""},
		{"AWS_DEFAULT_REGION", append(keys, "AWS_DEFAULT_REGION=eu-west-1"), "USER eu-west-1", ""},
		{"shared files", nil, "DEFAULT us-east-1", ""},
		{"AWS_PROFILE", []string{"AWS_PROFILE=work"}, "WORK eu-west-3", ""},
		{"AWS_PROFILE that is not there", []string{"AWS_PROFILE=none"}, "", "none"},
		{"AWS_SHARED_CREDENTIALS_FILE and AWS_CONFIG_FILE", []string{"AWS_SHARED_CREDENTIALS_FILE=" + other, "AWS_CONFIG_FILE=" + otherConfig}, "OTHER ap-south-1", ""},
		{"a role of a profile", []string{"AWS_PROFILE=assume", "AWS_ENDPOINT_URL_STS=" + grants.URL}, "ASSUMED us-east-1 token-of-ASSUMED", ""},
		{"credential_process", []string{"AWS_PROFILE=helper"}, "HELPER us-east-1", ""},
		{"single sign-on", []string{"AWS_PROFILE=sso", "AWS_ENDPOINT_URL_SSO=" + grants.URL}, "SIGNON us-east-1 token-of-SIGNON", ""},
		{"web identity", []string{empty, "AWS_WEB_IDENTITY_TOKEN_FILE=" + identity, "AWS_ROLE_ARN=arn:aws:iam::123456789012:role/reader", "AWS_ENDPOINT_URL_STS=" + grants.URL}, "WEBIDENTITY us-east-1 token-of-WEBIDENTITY", ""},
		{"web identity, refused in between", []string{empty, "AWS_WEB_IDENTITY_TOKEN_FILE=" + identity, "AWS_ROLE_ARN=arn:aws:iam::123456789012:role/reader", "AWS_ENDPOINT_URL_STS=" + grants.URL + "/faltering"}, "WEBIDENTITY us-east-1 token-of-WEBIDENTITY", ""},
		{"container", []string{empty, "AWS_CONTAINER_CREDENTIALS_FULL_URI=" + grants.URL + "/agent", "AWS_CONTAINER_AUTHORIZATION_TOKEN=agent's"}, "CONTAINER us-east-1 token-of-CONTAINER", ""},
		{"container that refuses", []string{empty, "AWS_CONTAINER_CREDENTIALS_FULL_URI=" + grants.URL + "/agent", "AWS_CONTAINER_AUTHORIZATION_TOKEN=hidden"}, "", "no credentials: set AWS_PROFILE"},
		{"credentials that run out", []string{empty, "AWS_CONTAINER_CREDENTIALS_FULL_URI=" + grants.URL + "/short"}, "SHORT", ""},
		{"instance", []string{empty, "AWS_EC2_METADATA_DISABLED=false", "AWS_EC2_METADATA_SERVICE_ENDPOINT=" + grants.URL}, "INSTANCE us-east-1 token-of-INSTANCE", ""},
		{"AWS_EC2_METADATA_DISABLED", []string{empty, "AWS_EC2_METADATA_SERVICE_ENDPOINT=" + grants.URL}, "", "no credentials: set AWS_PROFILE"},
		{"--no-sign-request", []string{"anonymous", empty}, "unsigned", ""},
		{"--no-sign-request beside keys", append(keys, "anonymous"), "unsigned", ""},
		{"AWS_ENDPOINT_URL", append(keys, "AWS_ENDPOINT_URL_S3=", "AWS_ENDPOINT_URL="+store.URL), "USER us-east-1", ""},
		{"AWS_ENDPOINT_URL_S3 before AWS_ENDPOINT_URL", append(keys, "AWS_ENDPOINT_URL="+elsewhere.URL), "USER us-east-1", ""},
		{"endpoint of a profile", []string{"AWS_ENDPOINT_URL_S3=", "AWS_PROFILE=endpoint"}, "WORK us-east-1", ""},
		{"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", append(keys, "AWS_ENDPOINT_URL_S3="+elsewhere.URL, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true", "HTTPS_PROXY="+world.Proxy, "AWS_CA_BUNDLE="+world.CAFile), "USER us-east-1", ""},
		{"Amazon by a proxy, AWS_CA_BUNDLE", append(keys, "AWS_ENDPOINT_URL_S3=", "AWS_REGION=eu-west-1", "HTTPS_PROXY="+world.Proxy, "AWS_CA_BUNDLE="+world.CAFile), "USER eu-west-1", ""},
		{"SSL_CERT_FILE", append(keys, "AWS_ENDPOINT_URL_S3=https://store.example", "HTTPS_PROXY="+world.Proxy, "SSL_CERT_FILE="+world.CAFile), "USER us-east-1", ""},
		{"a certificate nobody knows", append(keys, "AWS_ENDPOINT_URL_S3=https://store.example", "HTTPS_PROXY="+world.Proxy), "", "certificate signed by unknown authority"},
		{"NO_PROXY", append(keys, "AWS_ENDPOINT_URL_S3=http://store.invalid", "HTTP_PROXY="+world.Proxy, "NO_PROXY=.invalid", "AWS_MAX_ATTEMPTS=1"), "", "lookup store.invalid"},
		{"HTTP_PROXY", append(keys, "AWS_ENDPOINT_URL_S3=http://store.invalid", "HTTP_PROXY="+world.Proxy), "USER us-east-1", ""},
		{"HTTP_PROXY that asks who it is", append(keys, "AWS_ENDPOINT_URL_S3=http://store.invalid", "HTTP_PROXY="+refusing), "", "(407 Proxy Authentication Required): put the proxy's user"},
		{"HTTPS_PROXY that asks who it is", append(keys, "AWS_ENDPOINT_URL_S3=https://store.example", "HTTPS_PROXY="+refusing), "", "(407 Proxy Authentication Required): put the proxy's user"},
		{"an endpoint without http://", append(keys, "AWS_ENDPOINT_URL_S3=hidden@127.0.0.1:9000"), "", "s3://bucket: the endpoint (AWS_ENDPOINT_URL_S3,"},
		{"AWS_RETRY_MODE", append(keys, "AWS_RETRY_MODE=adaptive"), "USER us-east-1", ""},
		{"AWS_RETRY_MODE of old", append(keys, "AWS_RETRY_MODE=legacy"), "", "want standard or adaptive"},
		{"AWS_MAX_ATTEMPTS", append(keys, "AWS_MAX_ATTEMPTS=3", "AWS_ENDPOINT_URL_S3=http://127.0.0.1:1"), "", "(3 attempts)"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if runtime.GOOS != "linux" && (c.name == "credential_process" || c.name == "SSL_CERT_FILE") {
				t.Skip("a shell script, or certificates, that the system has no place for")
			}
			source := "s3://bucket/set/0.tar"
			if i := slices.Index(c.env, "anonymous"); i >= 0 {
				c.env = slices.Delete(slices.Clone(c.env), i, i+1)
				source = "anonymous " + source
			}
			child := exec.CommandContext(t.Context(), executable)
			child.Env = append([]string{
				askEnvironment + "=" + source, "HOME=" + home, "USERPROFILE=" + home, "PATH=" + os.Getenv("PATH"), "SYSTEMROOT=" + os.Getenv("SYSTEMROOT"),
				"AWS_ENDPOINT_URL_S3=" + store.URL, "AWS_EC2_METADATA_DISABLED=true",
			}, c.env...)
			out, err := child.CombinedOutput()
			var asked []string
			for range len(requests) {
				asked = append(asked, <-requests)
			}
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if strings.Contains(string(out), "hidden") || strings.Contains(string(out), "secret") {
				t.Errorf("a secret is shown: %s", out)
			}
			if c.err != "" {
				if !strings.Contains(string(out), c.err) {
					t.Errorf("got %s, want an error with %q", out, c.err)
				}
				return
			}
			if string(out) != "the object" {
				t.Fatalf("got %s", out)
			}
			if c.want == "SHORT" { // a key for each request
				if len(asked) < 2 || asked[0] == asked[1] || !strings.HasPrefix(asked[0], "SHORT") || !strings.HasPrefix(asked[1], "SHORT") {
					t.Errorf("asked by %q, want a new key each time", asked)
				}
				return
			}
			for _, who := range asked {
				if who != c.want {
					t.Errorf("asked by %q, want %q", who, c.want)
				}
			}
		})
	}
}
