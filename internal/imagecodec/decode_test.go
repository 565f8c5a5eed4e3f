package imagecodec_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/png"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"clpipe/internal/imagecodec"
)

// smallPictures keeps damaged headers from asking for much memory.
var smallPictures = imagecodec.Limits{MaxPixels: 1 << 16, MaxScans: 50}

// everything is a region around every picture.
var everything = imagecodec.Rect{X1: 1 << 20, Y1: 1 << 20}

func TestRegionEqualsFullDecode(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var dec imagecodec.Decoder
	for _, f := range goldenFiles(t) {
		for _, scale := range imagecodec.Scales {
			if scale > 1 && f.Scaled == nil {
				continue
			}
			var full, part imagecodec.Image
			if err := dec.DecodeScaled(f.data, scale, everything, &full); err != nil {
				t.Fatalf("%s at 1/%d: %v", f.Name, scale, err)
			}
			for range 30 {
				x, y := rng.IntN(full.W), rng.IntN(full.H)
				r := imagecodec.Rect{X0: x, Y0: y, X1: x + 1 + rng.IntN(full.W-x), Y1: y + 1 + rng.IntN(full.H-y)}
				clear(part.Pix)
				if err := checkRegion(&dec, f.data, scale, r, &full, &part); err != nil {
					t.Fatalf("%s: %v", f.Name, err)
				}
			}
		}
	}
}

func TestRegionOutsideThePicture(t *testing.T) {
	data := readTestdata(t, "420-smooth.jpg")
	var dec imagecodec.Decoder
	var full, img imagecodec.Image
	if err := dec.Decode(data, &full); err != nil {
		t.Fatal(err)
	}
	for _, r := range []imagecodec.Rect{{}, {X0: 100, Y0: 0, X1: 120, Y1: 9}, {X0: 9, Y0: 9, X1: 3, Y1: 12}} {
		if err := dec.DecodeRegion(data, r, &img); err != nil || img.W != full.W || img.H != full.H {
			t.Errorf("region %v: got %d x %d, %v, want %d x %d and no error", r, img.W, img.H, err, full.W, full.H)
		}
	}
	if err := dec.DecodeRegion(data, imagecodec.Rect{X0: -50, Y0: -50, X1: 500, Y1: 500}, &img); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(img.Pix, full.Pix) {
		t.Error("a region around the picture differs from the picture")
	}
}

func TestDecoderDoesNotAllocate(t *testing.T) {
	var dec imagecodec.Decoder
	var img imagecodec.Image
	most := 0.
	if _, err := imagecodec.SystemDecoder(); err == nil {
		most = 1 // the arguments of a call into the library
	}
	for _, name := range []string{"444-smooth", "420-smooth", "420-progressive", "420-restart", "cmyk", "gray"} {
		data := readTestdata(t, name+".jpg")
		if n := testing.AllocsPerRun(20, func() {
			if err := dec.Decode(data, &img); err != nil {
				t.Fatal(err)
			}
		}); n > most {
			t.Errorf("%s: got %v allocations a picture, want at most %v", name, n, most)
		}
	}
}

func TestEveryTruncationIsAnError(t *testing.T) {
	var dec imagecodec.Decoder
	var img imagecodec.Image
	for _, name := range []string{"420-restart.jpg", "420-progressive.jpg", "cmyk.jpg", "rgb.png", "palette.png"} {
		data := readTestdata(t, name)
		end := len(data)
		if filepath.Ext(name) == ".png" {
			end -= 12 + 4 + 5 // the picture is complete without IEND, a checksum, and how the pixel data end
		}
		for n := range end {
			err := dec.Decode(data[:n:n], &img)
			var truncated *imagecodec.TruncatedError
			if n >= 8 && !errors.As(err, &truncated) || err == nil {
				t.Fatalf("%s: first %d of %d bytes: got %v, want a truncated error", name, n, len(data), err)
			}
		}
	}
}

// TestDamagedPNGOfManyChunks decodes a picture with a wrong checksum whose rows take
// more than a few blocks.
func TestDamagedPNGOfManyChunks(t *testing.T) {
	m := image.NewNRGBA(image.Rect(0, 0, 300, 250))
	rng := rand.New(rand.NewPCG(5, 6))
	for i := range m.Pix {
		m.Pix[i] = byte(rng.Uint32())
	}
	var file bytes.Buffer
	if err := png.Encode(&file, m); err != nil {
		t.Fatal(err)
	}
	var want, got imagecodec.Image
	if err := imagecodec.Decode(file.Bytes(), &want, imagecodec.Limits{}); err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Clone(file.Bytes())
	damaged[len(damaged)-12-1] ^= 1 // of the last chunk of pixels
	if err := imagecodec.Decode(damaged, &got, imagecodec.Limits{}); err != nil || !bytes.Equal(got.Pix, want.Pix) {
		t.Errorf("got %d x %d pixels, %v, want those of the file without damage", got.W, got.H, err)
	}
	damaged[len(damaged)-12-4-1] ^= 1 // of what the rows add up to
	var format *imagecodec.FormatError
	if err := imagecodec.Decode(damaged, &got, imagecodec.Limits{}); !errors.As(err, &format) {
		t.Errorf("pixels that have changed: got %v, want a format error", err)
	}
}

// A region decode must refuse what a full decode refuses, and the other way
// round: otherwise the crop would decide which samples a run sees.
func TestDamageIsTreatedAlikeInRegions(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	dec := imagecodec.Decoder{Limits: smallPictures}
	var full, part imagecodec.Image
	for _, f := range goldenFiles(t) {
		data := make([]byte, len(f.data))
		for range 100 {
			copy(data, f.data)
			for range 1 + rng.IntN(4) {
				data[rng.IntN(len(data))] ^= 1 << rng.IntN(8)
			}
			fullErr := dec.Decode(data, &full)
			for _, scale := range imagecodec.Scales {
				if scale > 1 && f.Scaled == nil {
					continue
				}
				if fullErr == nil {
					scaledErr := dec.DecodeScaled(data, scale, everything, &full)
					for _, r := range []imagecodec.Rect{{X1: 5, Y1: 5}, {X0: full.W / 2, Y0: full.H / 2, X1: full.W, Y1: full.H}} {
						if err := errors.Join(scaledErr, checkRegion(&dec, data, scale, r, &full, &part)); err != nil {
							t.Fatalf("%s: %v", f.Name, err)
						}
					}
				} else if err := dec.DecodeScaled(data, scale, imagecodec.Rect{X1: 5, Y1: 5}, &part); err == nil || err.Error() != fullErr.Error() {
					t.Fatalf("%s: region at 1/%d: got %v, full decode %v", f.Name, scale, err, fullErr)
				}
			}
		}
	}
}

// checkRegion compares a region with the whole picture at the same scale.
func checkRegion(dec *imagecodec.Decoder, data []byte, scale int, r imagecodec.Rect, full, part *imagecodec.Image) error {
	if err := dec.DecodeScaled(data, scale, r, part); err != nil {
		return fmt.Errorf("region %v at 1/%d: %w, but the full decode succeeds", r, scale, err)
	}
	if part.W != full.W || part.H != full.H {
		return fmt.Errorf("region %v at 1/%d: got size %d x %d, want %d x %d", r, scale, part.W, part.H, full.W, full.H)
	}
	r = r.Clip(full.W, full.H)
	for y := r.Y0; y < r.Y1; y++ {
		from, to := (y*full.W+r.X0)*3, (y*full.W+r.X1)*3
		if !bytes.Equal(part.Pix[from:to], full.Pix[from:to]) {
			return fmt.Errorf("region %v at 1/%d: row %d differs from the full decode:\ngot  %v\nwant %v", r, scale, y, part.Pix[from:to], full.Pix[from:to])
		}
	}
	return nil
}

func TestErrorsNameTheCause(t *testing.T) {
	jpeg := readTestdata(t, "420-smooth.jpg")
	edit := func(marker byte, offset int, value ...byte) []byte {
		data := bytes.Clone(jpeg)
		copy(data[bytes.Index(data, []byte{0xFF, marker})+offset:], value)
		return data
	}
	pngBytes := readTestdata(t, "rgb.png")
	hugePNG := bytes.Clone(pngBytes)
	binary.BigEndian.PutUint32(hugePNG[16:], 1<<30)
	binary.BigEndian.PutUint32(hugePNG[29:], crc32.ChecksumIEEE(hugePNG[12:29]))

	badChecksum := bytes.Clone(pngBytes)
	badChecksum[29] ^= 1 // of IHDR

	webp, lossless, animated := readTestdata(t, "lossy-noise.webp"), readTestdata(t, "lossless-noise.webp"), readTestdata(t, "animated.webp")
	badFrame := bytes.Clone(animated)
	badFrame[bytes.Index(animated, []byte("ANMF"))+8] = 1 // two pixels to the right

	longer := bytes.Clone(webp)
	longer[4] += 2 // two bytes more than there are
	half := append(readTestdata(t, "lossy-exif.webp"), "EXIF"...)
	half[4] += 4

	var (
		format      *imagecodec.FormatError
		unsupported *imagecodec.UnsupportedError
		truncated   *imagecodec.TruncatedError
		limit       *imagecodec.LimitError
	)
	for _, c := range []struct {
		name string
		data []byte
		kind any
		text string
	}{
		{"empty", nil, &unsupported, `got first bytes "", want jpeg, png or webp`},
		{"gif", []byte("GIF89a\x01\x00\x01\x00"), &unsupported, `got first bytes "GIF89a\x01\x00", want jpeg, png or webp`},
		{"start of image only", jpeg[:2], &truncated, "offset 2: truncated"},
		{"no picture", []byte{0xFF, 0xD8, 0xFF, 0xD9}, &format, "no picture"},
		{"arithmetic coding", edit(0xC0, 1, 0xC9), &unsupported, "ffc9"},
		{"12 bits", edit(0xC0, 4, 12), &unsupported, "got 12 bits, want 8"},
		{"no height", edit(0xC0, 5, 0, 0), &unsupported, "DNL"},
		{"no width", edit(0xC0, 7, 0, 0), &format, "got 0 x 45 pixels"},
		{"huge", edit(0xC0, 5, 0xFF, 0, 0xFF, 0), &limit, "got 4261478400 pixels, want at most 134217728"},
		{"sampling factor", edit(0xC0, 11, 0x52), &format, "got 5 x 2, want 1 to 4"},
		{"fractional sampling", edit(0xC0, 11, 0x32, 1, 2, 0x21), &unsupported, "do not divide"},
		{"two components", edit(0xC0, 2, 0, 14, 8, 0, 9, 0, 9, 2), &unsupported, "got 2, want 1, 3 or 4"},
		{"quantiser number", edit(0xDB, 4, 7), &format, "got 7, want at most 3"},
		{"huffman class", edit(0xC4, 4, 0x20), &format, "got class 2"},
		{"huffman codes", edit(0xC4, 5, 2, 0, 4), &format, "codes of length 1"},
		{"scan component", edit(0xDA, 5, 99), &format, "id 99"},
		{"scan components in another order", edit(0xDA, 5, 2, 0x11, 1), &format, "not in its order"},
		{"start of a scan among the pixels", append(bytes.Clone(jpeg[:len(jpeg)/2]), 0xFF, 0xDA, 0xFF, 0xF0), &format, "a scan follows"},
		{"start of tables among the pixels", append(bytes.Clone(jpeg[:len(jpeg)/2]), 0xFF, 0xC4, 0xFF, 0xF0), &truncated, "huffman table runs past"},
		{"arithmetic conditioning", edit(0xC4, 1, 0xCC), &format, "arithmetic conditioning"},
		{"unknown marker", edit(0xDB, 1, 0x02), &format, "ff02"},
		{"png of huge size", hugePNG, &limit, "want at most 134217728"},
		{"png without header", append(bytes.Clone(pngBytes[:12]), bytes.Repeat([]byte("abcd"), 9)...), &format, `got "abcd", want "IHDR"`},
		{"png checksum", badChecksum, &format, "checksum"},
		{"webp header only", webp[:12], &truncated, "no picture"},
		{"webp cut", webp[:len(webp)-20], &truncated, `inside the chunk "VP8 "`},
		{"webp of lossless cut", lossless[:len(lossless)-20], &truncated, `inside the chunk "VP8L"`},
		{"webp animation without frames", []byte("RIFF\x12\x00\x00\x00WEBPANIM\x06\x00\x00\x00\x00\x00\x00\x00\x00\x00"), &truncated, "no picture"},
		{"webp animation cut", animated[:len(animated)-20], &truncated, `inside the chunk "ANMF"`},
		{"webp announced longer", longer, &truncated, "the file ends before the size it announces"},
		{"webp with half a chunk behind the picture", half, &truncated, "more behind it"},
		{"webp frame outside its canvas", badFrame, &format, "want it inside the canvas of 26 x 22"},
		{"webp chunk longer than the file", []byte("RIFF\x1e\x00\x00\x00WEBPEXIF\xff\xff\xff\xff"), &truncated, `inside the chunk "EXIF"`},
		{"webp without width", append(bytes.Clone(webp[:26]), make([]byte, 4)...), &format, "got 0 x 0 pixels"},
	} {
		var img imagecodec.Image
		err := imagecodec.Decode(c.data, &img, imagecodec.Limits{})
		if err == nil || !errors.As(err, c.kind) || !strings.Contains(err.Error(), c.text) || !strings.HasPrefix(err.Error(), "imagecodec: decode") {
			t.Errorf("%s: got %v, want a %T with %q", c.name, err, c.kind, c.text)
		}
	}
}

func TestLimitsAreCheckedBeforeAllocation(t *testing.T) {
	data := readTestdata(t, "420-smooth.jpg") // 67 x 45
	var img imagecodec.Image
	var limit *imagecodec.LimitError
	err := imagecodec.Decode(data, &img, imagecodec.Limits{MaxPixels: 67*45 - 1})
	if !errors.As(err, &limit) || limit.Got != 67*45 || img.Pix != nil {
		t.Errorf("one pixel over: got %v and %d bytes, want a limit error and none", err, len(img.Pix))
	}
	if err := imagecodec.Decode(data, &img, imagecodec.Limits{MaxPixels: 67 * 45}); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	err = imagecodec.Decode(readTestdata(t, "420-progressive.jpg"), &img, imagecodec.Limits{MaxScans: 3})
	if !errors.As(err, &limit) || limit.What != "scans" {
		t.Errorf("progressive of 10 scans: got %v, want a limit error", err)
	}
}

// FuzzDecode decodes by every implementation, at every scale and by region, and
// demands equal bytes and equal errors.
func FuzzDecode(f *testing.F) {
	for _, g := range goldenFiles(f) {
		f.Add(g.data)
	}
	names := imagecodec.Implementations()
	f.Fuzz(func(t *testing.T, data []byte) {
		dec := imagecodec.Decoder{Limits: smallPictures}
		var img, other imagecodec.Image
		format, _ := imagecodec.Sniff(data)
		for _, scale := range imagecodec.Scales {
			if scale > 1 && format != "jpeg" {
				continue
			}
			defer imagecodec.UseKernels(names[0])()
			err := dec.DecodeScaled(data, scale, everything, &img)
			for _, name := range names[1:] {
				imagecodec.UseKernels(name)
				if otherErr := dec.DecodeScaled(data, scale, everything, &other); fmt.Sprint(otherErr) != fmt.Sprint(err) {
					t.Fatalf("at 1/%d: %s: %v, %s: %v", scale, names[0], err, name, otherErr)
				}
				if err == nil && !bytes.Equal(other.Pix, img.Pix) {
					t.Fatalf("at 1/%d: pixels of %s differ from those of %s", scale, name, names[0])
				}
			}
			if err != nil {
				if wholeErr := dec.Decode(data, &img); fmt.Sprint(wholeErr) != fmt.Sprint(err) {
					t.Fatalf("at 1/%d: %v, as a whole: %v", scale, err, wholeErr)
				}
				return
			}
			info, err := imagecodec.ReadInfo(data)
			if err != nil || (info.W+scale-1)/scale != img.W || (info.H+scale-1)/scale != img.H || len(img.Pix) != img.W*img.H*3 {
				t.Fatalf("header says %+v, %v; decoded %d x %d with %d bytes at 1/%d", info, err, img.W, img.H, len(img.Pix), scale)
			}
			r := imagecodec.Rect{X0: img.W / 3, Y0: img.H / 3, X1: img.W/3 + 9, Y1: img.H/3 + 9}
			if err := checkRegion(&dec, data, scale, r, &img, &other); err != nil {
				t.Fatal(err)
			}
		}
		if err := dec.Decode(data, &other); err != nil || !bytes.Equal(other.Pix, img.Pix) {
			t.Fatalf("the whole region differs from the whole: %v", err)
		}
	})
}
