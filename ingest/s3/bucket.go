package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"sync/atomic"
	"time"

	"clpipe/ingest/remote"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"
)

// Options say how a store is asked.
type Options struct {
	// Anonymous sends no credentials, for public buckets.
	Anonymous bool
	// Link repeats requests. Its Attempts, if 0, are AWS_MAX_ATTEMPTS where set.
	Link *remote.Link
}

// defaultRegion is asked when none is configured. It knows where each bucket is.
const defaultRegion = "us-east-1"

// bucket makes requests to one bucket.
type bucket struct {
	name   string
	client *sdk.Client
	creds  aws.CredentialsProvider
	link   *remote.Link
	region atomic.Pointer[string] // the bucket's, once the store has told
}

func newBucket(ctx context.Context, name string, opts Options) (*bucket, error) {
	var http1 http.Protocols
	http1.SetHTTP1(true) // a connection for each object: in HTTP/2 they would share one's window
	load := []func(*config.LoadOptions) error{
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
			t.Protocols = &http1
			t.MaxIdleConnsPerHost = remote.MaxIdle
			t.IdleConnTimeout = 10 * time.Second
			remote.WatchProxy(t)
		})),
		config.WithDefaultRegion(defaultRegion),
		config.WithLogger(logging.Nop{}), // it would write to standard error
	}
	if opts.Anonymous {
		load = append(load, config.WithCredentialsProvider(aws.AnonymousCredentials{}))
	}
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		if mode := os.Getenv("AWS_RETRY_MODE"); mode != "" { // the SDK's text does not say where it stands
			err = fmt.Errorf("%w (AWS_RETRY_MODE is %.20q, want standard or adaptive)", err, mode)
		}
		return nil, &remote.Error{Op: "list", Where: "s3://" + name, Attempts: 1, Why: fmt.Errorf("the AWS configuration: %w", err)}
	}
	if !opts.Anonymous {
		if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
			return nil, &remote.Error{Op: "list", Where: "s3://" + name, Attempts: 1, Why: fmt.Errorf("no credentials: %s (%w)", noCredentials, err)}
		}
	}
	b := &bucket{name: name, creds: cfg.Credentials, link: opts.Link}
	if b.link.Attempts == 0 {
		b.link.Attempts = cfg.RetryMaxAttempts
	}
	b.client = sdk.NewFromConfig(cfg, func(o *sdk.Options) {
		o.UsePathStyle = o.BaseEndpoint != nil
		o.Retryer = aws.NopRetryer{} // the link repeats
		// A checksum is that of the whole object: it says nothing of a part.
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	})
	if at := b.client.Options().BaseEndpoint; at != nil && !isServer(*at) { // what it is instead may hold a password
		return nil, &remote.Error{Op: "list", Where: "s3://" + name, Attempts: 1,
			Why: errors.New("the endpoint (AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL or the profile's) is no address as http://127.0.0.1:9000")}
	}
	return b, nil
}

// isServer tells whether an address is one that requests can be sent to.
func isServer(address string) bool {
	u, err := url.Parse(address)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// inRegion makes a request go to where the bucket is.
func (b *bucket) inRegion(o *sdk.Options) {
	if region := b.region.Load(); region != nil {
		o.Region = *region
	}
}

// get reads the object of the given key.
func (b *bucket) get(ctx context.Context, key string, r remote.Request) (*remote.Response, error) {
	in := &sdk.GetObjectInput{Bucket: &b.name, Key: &key}
	switch {
	case r.To >= 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-%d", r.From, r.To))
	case r.From > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-", r.From))
	}
	if r.Version != "" {
		in.IfMatch = &r.Version
	}
	out, err := b.client.GetObject(ctx, in, b.inRegion)
	if err != nil {
		return nil, b.failure(err)
	}
	got := &remote.Response{Body: out.Body, Size: -1, Version: aws.ToString(out.ETag)}
	switch {
	case out.ContentRange != nil:
		var ok bool
		if got.From, got.Size, ok = remote.ContentRange(*out.ContentRange); !ok {
			out.Body.Close()
			return nil, finalf("the store sent the part %.100q, want a Content-Range as \"bytes 0-1/2\"", *out.ContentRange)
		}
	case out.ContentLength != nil:
		got.Size = *out.ContentLength
	}
	return got, nil
}
