package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"clpipe/batch"

	"github.com/apache/arrow/go/v15/arrow"
	arrowflight "github.com/apache/arrow/go/v15/arrow/flight"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// TestServe serves a set with token and TLS, and compares what consumers get
// with what `clpipe augment` and `clpipe ingest` write.
func TestServe(t *testing.T) {
	dir := t.TempDir()
	set := filepath.Join(dir, "set")
	clpipe(t, "shards", "synth", "-o", set, "--images", "300", "--test", "0", "--size", "16", "--shards", "4")
	pairs, images := filepath.Join(dir, "pairs.arrows"), filepath.Join(dir, "images.arrows")
	clpipe(t, "augment", "--src", set, "--epochs", "2", "-o", pairs, "--seed", "3")
	clpipe(t, "ingest", "--src", set, "-o", images, "--seed", "3")

	t.Setenv(tokenVariable, "open sesame")
	cert, key := certificate(t, dir)
	trained, embeddings := filepath.Join(dir, "run"), filepath.Join(dir, "embeddings.arrows")
	clpipe(t, "--src", set, "--run", trained, "--size", "16", "--width", "0.125", "--batch", "16", "--queue", "32", "--steps", "2")
	clpipe(t, "embed", "--src", set, "--shuffle", "--seed", "3", "--run", trained, "-o", embeddings)
	c := dial(t, cert, "serve", "--src", set, "--seed", "3", "--run", trained, "--listen", ":0", "--json", "--tls-cert", cert, "--tls-key", key)

	if _, err := served(t.Context(), c, `{"stream":"pairs"}`); status.Code(err) != codes.Unauthenticated {
		t.Errorf("without a token: got %v, want Unauthenticated", err)
	}
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer open sesame")
	for ticket, file := range map[string]string{`{"stream":"pairs","epochs":2}`: pairs, `{"stream":"images"}`: images, `{"stream":"embeddings"}`: embeddings} {
		got, err := served(ctx, c, ticket)
		if err != nil {
			t.Fatal(err)
		}
		if want := written(t, file); !slices.Equal(got, want) {
			t.Errorf("%s: %d rows differ from the %d of %s", ticket, len(got), len(want), filepath.Base(file))
		}
	}
	later, err := served(ctx, c, `{"stream":"pairs","epochs":2,"from":"1:200"}`)
	if err != nil {
		t.Fatal(err)
	}
	if want := written(t, pairs)[500:]; !slices.Equal(later, want) {
		t.Errorf("from 1:200: got %d rows, want the last %d", len(later), len(want))
	}
	var ids []string
	for rank := range 2 {
		rows, err := served(ctx, c, fmt.Sprintf(`{"stream":"pairs","rank":%d,"world":2}`, rank))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			_, id, _ := strings.Cut(r, " ")
			ids = append(ids, id[:strings.Index(id, " ")])
		}
	}
	slices.Sort(ids)
	if n := len(slices.Compact(slices.Clone(ids))); len(ids) != 300 || n != 300 {
		t.Errorf("two ranks got %d rows of %d samples, want each of 300 once", len(ids), n)
	}
	if _, err := served(ctx, c, `{"stream":"pairs","rank":0,"world":5}`); status.Code(err) != codes.InvalidArgument {
		t.Errorf("4 shards for 5 ranks: got %v, want InvalidArgument", err)
	}
}

// clpipe runs a command that succeeds.
func clpipe(t *testing.T, args ...string) {
	t.Helper()
	var stderr strings.Builder
	if code := run(t.Context(), args, stdio{strings.NewReader(""), io.Discard, &stderr}); code != exitDone {
		t.Fatalf("clpipe %v: exit code %d: %s", args, code, &stderr)
	}
}

// dial starts a server in the background and connects to the address it says.
func dial(t *testing.T, cert string, args ...string) arrowflight.Client {
	ctx, cancel := context.WithCancel(context.Background())
	out, in := io.Pipe()
	ended := make(chan struct{})
	var stderr strings.Builder
	go func() {
		defer close(ended)
		run(ctx, args, stdio{strings.NewReader(""), in, &stderr})
		in.Close()
	}()
	t.Cleanup(func() { cancel(); <-ended })
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		<-ended
		t.Fatalf("clpipe %v: %s", args, &stderr)
	}
	var said struct{ Address string }
	if err := json.Unmarshal(line, &said); err != nil {
		t.Fatal(err)
	}
	address, ok := strings.CutPrefix(said.Address, "grpc+tls://127.0.0.1:")
	if !ok {
		t.Fatalf("address %q, want one of this machine with TLS", said.Address)
	}
	text, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	c, err := arrowflight.NewClientWithMiddleware("passthrough:127.0.0.1:"+address, nil, nil,
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// certificate writes a certificate for 127.0.0.1 and its key.
func certificate(t *testing.T, dir string) (cert, key string) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	public, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: public}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// served returns the rows of a ticket, and how the stream ended.
func served(ctx context.Context, c arrowflight.Client, ticket string) (rows []string, err error) {
	stream, err := c.DoGet(ctx, &arrowflight.Ticket{Ticket: []byte(ticket)})
	if err != nil {
		return nil, err
	}
	r, err := arrowflight.NewRecordReader(stream)
	if err != nil {
		return nil, err
	}
	defer r.Release()
	for {
		rec, err := r.Read()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err == nil {
			rows, err = appendRows(rows, rec)
		}
		if err != nil {
			return rows, err
		}
	}
}

// written returns the rows of a stream in a file.
func written(t *testing.T, path string) (rows []string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	in := batch.NewIPCReader(path, f, memory.DefaultAllocator)
	defer in.Close()
	for {
		rec, err := in.Read(t.Context())
		if errors.Is(err, io.EOF) {
			return rows
		}
		if err == nil {
			rows, err = appendRows(rows, rec)
			rec.Release()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// appendRows appends a record's rows: place, id, label and all pixels, or id,
// label and embedding.
func appendRows(rows []string, rec arrow.Record) ([]string, error) {
	if batch.KindOf(rec.Schema()) == batch.EmbeddingsKind {
		e, err := batch.NewEmbeddings(rec)
		if err != nil {
			return rows, err
		}
		for i := range e.Len() {
			label, _ := e.Label(i)
			rows = append(rows, fmt.Sprint(e.ID(i), label, e.Embedding(i)))
		}
		return rows, nil
	}
	r, err := rowsOf(batch.KindOf(rec.Schema()), rec)
	if err != nil {
		return rows, err
	}
	for i := range int(rec.NumRows()) {
		pictures, err := r.pictures(i)
		if err != nil {
			return rows, err
		}
		row := r.row(i)
		rows = append(rows, fmt.Sprintf("%d:%d %s %d %x", row.Epoch, *row.Index, row.ID, *row.Label, pictures))
	}
	return rows, nil
}

// TestMemHoldsTheCollector asks Go's collector what it is held to while stages run:
// to --mem, and on top of it to what is no buffer.
func TestMemHoldsTheCollector(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	dir := t.TempDir()
	set, trained := filepath.Join(dir, "set"), filepath.Join(dir, "run")
	clpipe(t, "shards", "synth", "-o", set, "--images", "40", "--test", "0", "--size", "16", "--shards", "2")
	clpipe(t, "--src", set, "--run", trained, "--size", "16", "--width", "0.125", "--batch", "16", "--queue", "32", "--steps", "1")
	const gib = 1 << 30
	held := func(name string, fixed bool) {
		t.Helper()
		beside := debug.SetMemoryLimit(-1) - gib
		if beside < 0 || beside > gib/4 || fixed != (beside > 0) {
			t.Errorf("%s: the collector is held to %d bytes, want 1 GiB, and activations on top: %v", name, beside+gib, fixed)
		}
		debug.SetMemoryLimit(before)
	}
	debug.SetMemoryLimit(before)
	clpipe(t, "embed", "--src", set, "--run", trained, "--mem", "1GiB", "-o", filepath.Join(dir, "e.parquet"))
	held("embed", true)
	t.Setenv(tokenVariable, "open sesame")
	cert, key := certificate(t, dir)
	serve := []string{"serve", "--src", set, "--mem", "1GiB", "--listen", ":0", "--json", "--tls-cert", cert, "--tls-key", key}
	dial(t, cert, serve...)
	held("serve", false)
	dial(t, cert, append(serve, "--run", trained)...)
	held("serve --run", true)
	clpipe(t, "ingest", "--src", set, "--mem", "1GiB", "-o", filepath.Join(dir, "i.arrows"))
	held("ingest", false)
}
