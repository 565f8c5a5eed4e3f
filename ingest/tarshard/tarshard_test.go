package tarshard_test

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"clpipe/ingest/shard"
	"clpipe/ingest/tarshard"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const maxSampleBytes = 1000

// read returns the samples of an object and the error that ended it, nil for
// its proper end.
func read(t testing.TB, obj shard.Object) ([]string, error) {
	t.Helper()
	s, err := tarshard.New(t.Context(), obj, maxSampleBytes)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Open(t.Context())
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var out []string
	for {
		sample, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		image := sample.Image
		if image == nil && sample.Damage == nil {
			f, err := s.OpenAt(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			image = make([]byte, sample.Size)
			if err := f.Fetch(&sample, image); err != nil {
				t.Fatal(err)
			}
			f.Close()
		}
		out = append(out, describe(sample, image))
	}
}

func TestSamplesAndTheirDamage(t *testing.T) {
	a, b := file{name: "a.jpg", body: "A"}, file{name: "b.jpg", body: "B"}
	whole := archive(t, a, b)
	huge := archive(t, a, b)
	copy(huge[1024+124:], "77777777777\x00") // b's size, in octal
	setChecksum(huge[1024:])
	flipped := slices.Clone(whole)
	flipped[1024+10] ^= 1
	sparse := archive(t, a)
	sparse[156] = tar.TypeGNUSparse
	copy(sparse[257:], "ustar  \x00")
	setChecksum(sparse)
	gap := archive(t, a, file{name: "b.txt", body: "B"}, file{name: "c.jpg", body: "C"})
	gap[1024+156] = tar.TypeGNUSparse
	copy(gap[1024+257:], "ustar  \x00")
	copy(gap[1024+386:], "00000000000\x0000000000001\x00") // the byte that is stored
	copy(gap[1024+483:], "00000100000\x00")                // of 32 KiB
	setChecksum(gap[1024:])
	badSum := pack(t, "gz", whole)
	badSum[len(badSum)-6] ^= 1 // CRC-32, before the four bytes of the length
	many := []file{{name: "a.jpg", body: "A"}}
	for i := range 300 {
		many = append(many, file{name: fmt.Sprintf("a.f%d", i)})
	}

	cases := []struct {
		name string
		body []byte
		want []string // parts of what comes, in order; an error's last
		ends bool     // the shard ends properly
	}{
		{"label and fields", archive(t, file{name: "x/1.cls", body: " 7\n"}, file{name: "x/1.json", body: "{}"}, file{name: "x/1.JPEG", body: "ABC"}), []string{`x/1@0 7 "ABC"`}, true},
		{"negative label", archive(t, a, file{name: "a.cls", body: "-1"}), []string{`a@0 -1 "A"`}, true},
		{"dots in folders and fields", archive(t, file{name: "v1.0/a.jpg", body: "A"}, file{name: "v1.0/a.seg.png", body: "S"}), []string{`v1.0/a@0 - "A"`}, true},
		{"leading ./", archive(t, file{name: "./", kind: tar.TypeDir}, file{name: "./a.jpg", body: "A"}), []string{`a@512 - "A"`}, true},
		{"left out", archive(t, file{name: "._a.jpg", body: "x"}, file{name: "__MACOSX/a.jpg", body: "x"}, file{name: "README", body: "x"}, file{name: ".hidden", body: "x"}, a), []string{`a@4096 - "A"`}, true},
		{"parent folders stay names", archive(t, file{name: "../../a.jpg", body: "A"}), []string{`../../a@0 - "A"`}, true},
		{"long name", archive(t, file{name: strings.Repeat("d/", 200) + "a.jpg", body: "A"}), []string{`d/a@0 - "A"`}, true},
		{"name that is not utf-8", archive(t, file{name: "\xff.jpg", body: "A"}), []string{`\xff@0 - "A"`}, true},

		{"bad label", archive(t, a, file{name: "a.cls", body: "cat"}, b), []string{`a@0: label: member "a.cls": got "cat", want an integer`, `b@`}, true},
		{"long label", archive(t, a, file{name: "a.cls", body: strings.Repeat("1", 65)}), []string{"a@0: label: member \"a.cls\": 65 bytes"}, true},
		{"no image", archive(t, file{name: "a.cls", body: "1"}, b), []string{"a@0: sample: no image", "b@"}, true},
		{"two images", archive(t, a, file{name: "a.png", body: "P"}), []string{`a@0: sample: member "a.png": a second image beside the field "jpg"`}, true},
		{"same field twice", archive(t, a, a), []string{`a@0: sample: member "a.jpg": field "jpg" comes twice`}, true},
		{"empty image", archive(t, file{name: "a.jpg"}), []string{"a@0: read: member \"a.jpg\": the file is empty"}, true},
		{"image too large", archive(t, file{name: "a.jpg", body: strings.Repeat("x", maxSampleBytes+1)}, b), []string{"a@0: read: member \"a.jpg\": 1001 bytes, want at most 1000", `b@`}, true},
		{"key comes again", archive(t, a, b, file{name: "a.cls", body: "1"}), []string{`a@0 - "A"`, `b@`, `a@2048: sample: member "a.cls": its key came earlier`}, true},
		{"link", archive(t, a, file{name: "b.jpg", body: "a.jpg", kind: tar.TypeLink}), []string{"a@0", "b@1024: sample: member \"b.jpg\": neither a link"}, true},
		{"sparse file", sparse, []string{"a@0: sample: member \"a.jpg\": neither a link nor a sparse"}, true},
		{"after a sparse file", gap, []string{`a@0 - "A"`, "b@1024: sample: no image", `c@2048 - "C"`}, true},
		{"sparse file at the end", append(slices.Clone(gap[:2048]), make([]byte, 1024)...), []string{`a@0 - "A"`, "b@1024: sample: no image"}, true},
		{"too many fields", archive(t, many...), []string{"a@0: sample: member \"a.f255\": more than 256 fields"}, true},
		{"key too long", archive(t, file{name: strings.Repeat("k", 5000) + ".jpg", body: "A"}), []string{"sample: a key of 5000 bytes"}, true},
		{"key too long, cut inside a rune", archive(t, file{name: "k" + strings.Repeat("ä", 2500) + ".jpg", body: "A"}), []string{"sample: a key of 5001 bytes"}, true},

		{"text", []byte(strings.Repeat("not a tar file\n", 100)), []string{"@0: header: not a tar archive"}, false},
		{"short text", []byte("hello"), []string{"@0: header: truncated"}, false},
		{"empty file", nil, []string{"@0: open: the file is empty"}, false},
		{"no samples", archive(t), []string{"@0: read: no samples"}, false},
		{"cut in a body", archive(t, a, file{name: "b.jpg", body: strings.Repeat("x", 600)})[:2000], []string{`a@0 - "A"`, "b@1024: read: "}, false},
		{"cut in padding", whole[:512+1], []string{"a@513: header: truncated: the shard ends inside a member"}, false},
		{"cut in a header", whole[:1024+100], []string{"a@1024: header: truncated"}, false},
		{"cut between members", whole[:1024], []string{"a@1024: read: truncated: the shard ends without tar's end marker"}, false},
		{"huge size", huge, []string{`a@0 - "A"`, "truncated: "}, false},
		{"damaged header", flipped, []string{"a@1024: header: archive/tar: invalid tar header"}, false},
		{"two archives", append(slices.Clone(whole), whole...), []string{`a@`, `b@`, "more data follows tar's end marker"}, false},
		{"sum of gzip", badSum, []string{"a@", "b@", "read: gzip: "}, false},
		{"cut gzip", pack(t, "gz", whole)[:60], []string{"gzip: unexpected EOF"}, false},
		{"cut zstd", pack(t, "zst", whole)[:40], []string{"zstd: "}, false},
		{"bzip2", []byte("BZh91AY&SY"), []string{"unpack: unsupported packing tar.bz2"}, false},
	}
	for _, c := range cases {
		for _, obj := range []shard.Object{sequential{body: c.body, opened: new(int)}, random{sequential{body: c.body, opened: new(int)}}} {
			got, err := read(t, obj)
			if err != nil {
				got = append(got, err.Error())
				if damage := (*shard.Damage)(nil); !errors.As(err, &damage) {
					t.Errorf("%s: %T: got %v, want a *shard.Damage", c.name, obj, err)
				}
			}
			same := len(got) == len(c.want) && (err == nil) == c.ends
			for i := range min(len(got), len(c.want)) {
				same = same && strings.Contains(got[i], c.want[i]) && utf8.ValidString(got[i])
			}
			if !same {
				t.Errorf("%s: %T:\ngot  %q\nwant %q, proper end %v", c.name, obj, got, c.want, c.ends)
			}
		}
	}
}

// setChecksum sets the checksum of a header block.
func setChecksum(block []byte) {
	copy(block[148:156], "        ")
	sum := 0
	for _, b := range block[:512] {
		sum += int(b)
	}
	copy(block[148:156], fmt.Sprintf("%06o\x00 ", sum))
}

func TestPackingIsToldByTheFirstBytes(t *testing.T) {
	body := archive(t, file{name: "a.jpg", body: "A"}, file{name: "b.png", body: "B"})
	want, err := read(t, sequential{body: body, opened: new(int)})
	if err != nil || len(want) != 2 {
		t.Fatalf("got %q %v, want 2 samples", want, err)
	}
	skippable := append([]byte("\x50\x2a\x4d\x18\x03\x00\x00\x00xyz"), pack(t, "zst", body)...)
	for format, packed := range map[string][]byte{"tar.gz": pack(t, "gz", body), "tar.zst": pack(t, "zst", body), "tar": body, "tar.zst ": skippable} {
		obj := random{sequential{body: packed, opened: new(int)}}
		got, err := read(t, obj)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %q %v, want %q", format, got, err, want)
		}
		s, err := tarshard.New(t.Context(), obj, maxSampleBytes)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Format(); got != strings.TrimSpace(format) {
			t.Errorf("got format %q, want %q", got, format)
		}
		if got, want := s.CheapToScan(), format == "tar"; got != want {
			t.Errorf("%s: cheap to scan %v, want %v", format, got, want)
		}
	}
}

func TestFailedReadIsTriedAgainFromItsOffset(t *testing.T) {
	var files []file
	for i := range 40 {
		files = append(files, file{name: fmt.Sprintf("%02d.jpg", i), body: strings.Repeat("x", 600+i)})
	}
	body := archive(t, files...)
	want, err := read(t, sequential{body: body, opened: new(int)})
	if err != nil {
		t.Fatal(err)
	}
	packed := pack(t, "gz", body)
	for name, obj := range map[string]shard.Object{
		"sequential": sequential{body: body, failAt: 20_001, opened: new(int)},
		"packed":     sequential{body: packed, failAt: int64(len(packed) / 2), opened: new(int)},
		"random":     random{sequential{body: body, failAt: 20_001, opened: new(int)}},
	} {
		got, err := read(t, obj)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %d samples and %v, want %d", name, len(got), err, len(want))
		}
	}
}

func TestLastingFaultEndsTheShard(t *testing.T) {
	body := archive(t, file{name: "a.jpg", body: "A"}, file{name: "b.jpg", body: "B"})
	got, err := read(t, alwaysFaulty{sequential{body: body}})
	if len(got) != 0 || !errors.Is(err, errFault) {
		t.Errorf("got %q %v, want %v", got, err, errFault)
	}
}
