package main

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clpipe/batch"
	"clpipe/encoder"
	"clpipe/internal/imagecodec"
	"clpipe/internal/synth"

	"github.com/spf13/pflag"
)

// What is finished is kept and returned, though the next part fails.
func TestFinishedPartsAreKept(t *testing.T) {
	dir := t.TempDir()
	set := filepath.Join(dir, "voc")
	if err := (synth.BoxSet{Images: 6, Test: 3, Size: 64, Seed: 1}).Write(t.Context(), set, 1, nil); err != nil {
		t.Fatal(err)
	}
	f := &detectFlags{}
	f.add(pflag.NewFlagSet("detect", pflag.ContinueOnError))
	f.train, f.test, f.output = []string{set}, []string{set}, filepath.Join(dir, "found")
	f.seeds, f.epochs, f.batch, f.size, f.common.quiet = 1, 1, 2, 32, true
	graph := encoder.ResNet(encoder.ResNetConfig{Depth: 18, CIFAR: true, Size: 32, Width: 0.0625, Normalize: encoder.Normalize{Std: [3]float32{1, 1, 1}}})
	good, bad := encoder.NewParams(graph, 1), encoder.NewParams(graph, 1)
	values, _ := bad.Tensor("conv1.weight")
	values[0] = float32(math.NaN())
	tr := &transfer{detectFlags: f, std: stdio{nil, io.Discard, io.Discard}, log: slog.New(slog.DiscardHandler)}
	weights := func(p *encoder.Params) func(uint64) *encoder.Params {
		return func(uint64) *encoder.Params { return p }
	}
	tr.starts = []start{{"good", &model{graph: graph}, weights(good)}, {"bad", &model{graph: graph}, weights(bad)}}
	if err := tr.prepare(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	results, err := tr.measureAll(t.Context())
	if err == nil || !strings.HasPrefix(err.Error(), "bad, frozen: seed 1: detect: step 1: the loss is NaN") || len(results) != 1 || results[0].Init != "good" {
		t.Errorf("got %+v, %v; want the good part, and that the bad one diverged", results, err)
	}
	table, err := os.ReadFile(filepath.Join(f.output, "table.jsonl"))
	if err != nil || bytes.Count(table, []byte("\n")) != 1 || !bytes.Contains(table, []byte(`"init":"good"`)) {
		t.Errorf("the table holds %q, %v; want the good part", table, err)
	}
}

// labelled is a data set with one image, whose annotation says that it has a size.
func labelled(t *testing.T, file []byte, w, h int) *objectSet {
	t.Helper()
	dir := t.TempDir()
	text := fmt.Sprintf("<annotation><size><width>%d</width><height>%d</height></size><object><name>cat</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object></annotation>", w, h)
	for name, content := range map[string][]byte{"Annotations/a.xml": []byte(text), "JPEGImages/a.jpg": file} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	s, err := loadObjects([]string{dir + ":"}, "")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Boxes that were drawn on an upright image fit it where it is turned upright, and are
// refused where it is not, as the others are where it is.
func TestBoxesOfTurnedImages(t *testing.T) {
	file, err := os.ReadFile("../../internal/imagecodec/testdata/orientation6.jpg")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		w, h    int
		upright bool
		want    string
	}{{37, 23, false, ""}, {23, 37, true, ""}, {23, 37, false, "--exif-transpose"}, {37, 23, true, "--exif-transpose"}, {36, 23, false, "annotate it again"}, {0, 0, true, ""}} {
		s := labelled(t, file, c.w, c.h)
		decoder := func() *imagecodec.Decoder { return &imagecodec.Decoder{Upright: c.upright} }
		err := s.look(t.Context(), 2, decoder, &batch.Rejects{}, func() {})
		if got := fmt.Sprint(err); (err != nil) != (c.want != "") || !strings.Contains(got, c.want) {
			t.Errorf("%d×%d, upright %v: got %v, want %q", c.w, c.h, c.upright, err, c.want)
		}
		if w, h := s.images[0].Width, s.images[0].Height; err == nil && (w+h != 60 || (w < h) != c.upright) {
			t.Errorf("upright %v: the image has %d×%d pixels", c.upright, w, h)
		}
	}
}

// A set without an image that can be decoded is an error, whatever is tolerated.
func TestSetsOfDamagedImages(t *testing.T) {
	var file bytes.Buffer
	if err := jpeg.Encode(&file, image.NewRGBA(image.Rect(0, 0, 16, 16)), nil); err != nil {
		t.Fatal(err)
	}
	s := labelled(t, file.Bytes()[:file.Len()/3], 16, 16)
	err := s.look(t.Context(), 1, func() *imagecodec.Decoder { return &imagecodec.Decoder{} }, &batch.Rejects{Max: 1}, func() {})
	if err == nil || !strings.Contains(err.Error(), "none of the 1 images can be decoded") {
		t.Errorf("got %v", err)
	}
}
