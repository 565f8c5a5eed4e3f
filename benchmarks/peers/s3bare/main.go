// Command s3bare is the SDK's client and nothing else: it uploads files to a
// store, and reads objects to drop what it reads, which is what the store gives
// to whoever does nothing with it. The store is that of the AWS environment
// variables.
//
//	s3bare -put shards/photos/ -bucket shards -prefix photos/
//	s3bare -bucket shards -prefix photos/ -connections 8 -epochs 4
//
// It prints the bytes it has written or read.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/sync/errgroup"
)

// bufferBytes is what a read asks for: of 32 KiB to 1 MiB none is faster.
const bufferBytes = 256 << 10

// bare is a client and what it works on.
type bare struct {
	client         *s3.Client
	bucket, prefix string
	keep           int // MiB
}

func main() {
	var b bare
	flag.StringVar(&b.bucket, "bucket", "", "bucket, which -put makes")
	flag.StringVar(&b.prefix, "prefix", "", "what the keys begin with")
	folder := flag.String("put", "", "folder of files to upload")
	connections := flag.Int("connections", 8, "objects read at a time")
	epochs := flag.Int("epochs", 1, "how often every object is read")
	flag.IntVar(&b.keep, "keep", 0, "MiB of what was read last that stay in memory, as those of a shuffle buffer do; 0 drops all")
	flag.Parse()
	n, err := b.run(context.Background(), *folder, *connections, *epochs)
	if err != nil {
		fmt.Fprintln(os.Stderr, "s3bare:", err)
		os.Exit(1)
	}
	fmt.Println(n)
}

func (b *bare) run(ctx context.Context, folder string, connections, epochs int) (int64, error) {
	transport := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) { t.MaxIdleConnsPerHost = connections })
	cfg, err := config.LoadDefaultConfig(ctx, config.WithHTTPClient(transport))
	if err != nil {
		return 0, err
	}
	b.client = s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.UsePathStyle = true
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	})
	if folder != "" {
		return b.put(ctx, folder)
	}
	return b.get(ctx, connections, epochs)
}

// put makes the bucket, if there is none, and uploads the files of a folder.
func (b *bare) put(ctx context.Context, folder string) (total int64, err error) {
	if _, err := b.client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &b.bucket}); err != nil {
		if _, err := b.client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &b.bucket}); err != nil {
			return 0, err
		}
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		n, err := b.putFile(ctx, filepath.Join(folder, e.Name()), b.prefix+e.Name())
		if err != nil {
			return total, err
		}
		total += n
	}
	return total, nil
}

func (b *bare) putFile(ctx context.Context, path, key string) (int64, error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	_, err = b.client.PutObject(ctx, &s3.PutObjectInput{Bucket: &b.bucket, Key: &key, Body: file})
	return info.Size(), err
}

// get returns how many bytes the objects have, over all epochs.
func (b *bare) get(ctx context.Context, connections, epochs int) (total int64, err error) {
	page, err := b.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &b.bucket, Prefix: &b.prefix})
	if err != nil {
		return 0, err
	}
	if aws.ToBool(page.IsTruncated) {
		return 0, errors.New("more objects than one answer lists")
	}
	keys := make(chan *string)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(keys)
		for range epochs {
			for _, o := range page.Contents {
				select {
				case keys <- o.Key:
					total += *o.Size
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}
		return nil
	})
	for range connections {
		g.Go(func() error {
			buf := make([]byte, max(b.keep<<20/connections, bufferBytes))
			for key := range keys {
				if err := b.drain(ctx, key, buf); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err = g.Wait()
	return total, err
}

// drain reads an object to its end, from one end of buf to the other and again.
func (b *bare) drain(ctx context.Context, key *string, buf []byte) error {
	out, err := b.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.bucket, Key: key})
	if err != nil {
		return err
	}
	defer out.Body.Close()
	for at := 0; ; {
		if at+bufferBytes > len(buf) {
			at = 0
		}
		n, err := out.Body.Read(buf[at:][:bufferBytes])
		at += n
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
