package imagecodec_test

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clpipe/internal/imagecodec"
)

// shardPictures returns up to limit JPEG files of a shard of the data set kept
// outside the project, and skips the benchmark where there is none.
func shardPictures(b *testing.B, shard string, limit int) (files [][]byte, size int64) {
	b.Helper()
	f, err := os.Open(filepath.Join("..", "..", "..", "shared", "data", shard))
	if errors.Is(err, os.ErrNotExist) {
		b.Skipf("%s is not there", shard)
	}
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	for r := tar.NewReader(f); len(files) < limit; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			b.Fatal(err)
		}
		if !strings.HasSuffix(h.Name, ".jpg") {
			continue
		}
		data, err := io.ReadAll(r)
		if err != nil {
			b.Fatal(err)
		}
		files = append(files, data)
		size += int64(len(data))
	}
	return files, size
}

func BenchmarkDecode(b *testing.B) {
	for _, set := range []struct{ name, shard string }{
		{"photos", "imagenet-sample/train-00000.tar"},
		{"32x32", "cifar10/test-00000.tar"},
	} {
		for _, region := range []string{"full", "centre"} {
			b.Run("set="+set.name+"/region="+region, func(b *testing.B) {
				files, size := shardPictures(b, set.shard, 100)
				var dec imagecodec.Decoder
				var img imagecodec.Image
				b.SetBytes(size)
				b.ReportAllocs()
				for b.Loop() {
					for _, data := range files {
						if err := decodePart(&dec, data, region, &img); err != nil {
							b.Fatal(err)
						}
					}
				}
				b.ReportMetric(float64(b.N*len(files))/b.Elapsed().Seconds(), "images/s")
			})
		}
	}
}

// decodePart decodes the whole picture or its middle half each way.
func decodePart(dec *imagecodec.Decoder, data []byte, region string, img *imagecodec.Image) error {
	if region == "full" {
		return dec.Decode(data, img)
	}
	info, err := imagecodec.ReadInfo(data)
	if err != nil {
		return err
	}
	centre := imagecodec.Rect{X0: info.W / 4, Y0: info.H / 4, X1: info.W * 3 / 4, Y1: info.H * 3 / 4}
	return dec.DecodeRegion(data, centre, img)
}
