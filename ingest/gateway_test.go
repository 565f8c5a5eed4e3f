package ingest_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"clpipe/ingest"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// gateway starts a real S3 server, versitygw, over an empty folder and returns
// its address.
func gateway(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("versitygw")
	if err != nil {
		t.Skip("versitygw is not on PATH: go install github.com/versity/versitygw/cmd/versitygw@latest")
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	var log bytes.Buffer
	server := exec.Command(path, "--port", address, "posix", "--sidecar", t.TempDir(), t.TempDir())
	server.Env = append(server.Environ(), "ROOT_ACCESS_KEY=user", "ROOT_SECRET_KEY=secret")
	server.Stdout, server.Stderr = &log, &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Kill()
		server.Wait()
		if t.Failed() {
			t.Logf("versitygw: %s", log.Bytes())
		}
	})
	return address
}

// client is one for the store of the environment, which repeats requests until
// the server is up.
func client(t *testing.T) *s3.Client {
	t.Helper()
	cfg, err := config.LoadDefaultConfig(t.Context(), config.WithRetryMaxAttempts(30), config.WithHTTPClient(awshttp.NewBuildableClient().WithTransportOptions(func(tr *http.Transport) {
		tr.DisableKeepAlives = true // no connection is left open
	})))
	if err != nil {
		t.Fatal(err)
	}
	return s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
}

// cuttingProxy passes connections on to target and cuts the n-th after so many
// bytes of answers.
func cuttingProxy(t *testing.T, target string, after func(n int) int64) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var open sync.WaitGroup
	open.Go(func() {
		for n := 1; ; n++ {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", target)
			if err != nil {
				in.Close()
				continue
			}
			open.Go(func() {
				io.Copy(out, in) // until one side closes
				out.Close()
			})
			open.Go(func() {
				io.CopyN(in, out, after(n))
				in.Close()
				out.Close()
			})
		}
	})
	t.Cleanup(func() { l.Close(); open.Wait() })
	return l.Addr().String()
}

func TestRealStoreGivesTheSameOrder(t *testing.T) {
	server := gateway(t)
	storeEnvironment(t, "http://"+server)
	dir := packings(t)
	store := client(t)
	if _, err := store.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("shards")}); err != nil {
		t.Fatal(err)
	}
	for key, body := range contents(t, dir, "cifar/train/") {
		in := &s3.PutObjectInput{Bucket: aws.String("shards"), Key: &key, Body: bytes.NewReader(body)}
		if _, err := store.PutObject(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
	cfg := ingest.Config{Sources: []string{dir}, Shuffle: true, Seed: 3, ShuffleBuffer: 10, Interleave: 3, Epochs: 2}.WithoutWaiting()
	want, err := digest(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	var connections atomic.Int64
	proxy := cuttingProxy(t, server, func(n int) int64 {
		connections.Store(int64(n))
		return 1500 + int64(n*1237%3000)
	})
	for _, endpoint := range []string{server, proxy} {
		t.Setenv("AWS_ENDPOINT_URL_S3", "http://"+endpoint)
		for _, source := range []string{"s3://shards/cifar/train", "s3://shards/cifar/train/" + packingsPattern} {
			cfg.Sources = []string{source}
			if got, err := digest(t, cfg); err != nil || got != want {
				t.Errorf("%s at %s: got %s, %v, want %s", source, endpoint, got, err, want)
			}
		}
	}
	if n := connections.Load(); n < 50 {
		t.Errorf("%d connections were made through the proxy, want many, each having been cut", n)
	}
	t.Setenv("AWS_ENDPOINT_URL_S3", "http://"+server) // the proxy would cut the reason off
	t.Setenv("AWS_SECRET_ACCESS_KEY", "another")
	_, err = ingest.Open(t.Context(), cfg)
	if err == nil || !strings.Contains(err.Error(), "permission denied (403 SignatureDoesNotMatch") {
		t.Errorf("with a wrong secret: got %v", err)
	}
}
