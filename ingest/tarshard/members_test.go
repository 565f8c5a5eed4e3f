package tarshard

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// TestMembersAgreeWithArchiveTar compares name, size and body with those of
// archive/tar, for each form of header and with sparse members among them.
func TestMembersAgreeWithArchiveTar(t *testing.T) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	add := func(h tar.Header, body string) {
		t.Helper()
		h.Size, h.Mode = int64(len(body)), 0o644
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, body); err != nil {
			t.Fatal(err)
		}
	}
	long := strings.Repeat("folder/", 20)
	when := time.Unix(1_700_000_000, 500_000_000)
	for i, format := range []tar.Format{tar.FormatUSTAR, tar.FormatPAX, tar.FormatGNU} {
		// As git archive begins one.
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "pax_global_header", PAXRecords: map[string]string{"comment": "of all"}}); err != nil {
			t.Fatal(err)
		}
		for _, size := range []int{0, 1, 511, 512, 513, 20_000} {
			body := strings.Repeat(fmt.Sprint(i), size)
			add(tar.Header{Name: fmt.Sprintf("%d.jpg", size), Format: format, Typeflag: tar.TypeReg}, body)
			add(tar.Header{Name: long + "a.jpg", Format: format, Typeflag: tar.TypeReg}, body)
			if format != tar.FormatUSTAR {
				add(tar.Header{Name: long + long + "ä.jpg", Format: format, Typeflag: tar.TypeReg, ModTime: when, AccessTime: when}, body)
			}
		}
		add(tar.Header{Name: "folder/", Format: format, Typeflag: tar.TypeDir}, "")
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	body := buf.Bytes()
	// One member becomes sparse, without gaps: the rest is read another way.
	at := bytes.Index(body, []byte("513.jpg"))
	at += tarBlock + bytes.Index(body[at+tarBlock:], []byte("513.jpg"))
	clear(body[at+345 : at+512])
	body[at+156] = tar.TypeGNUSparse
	copy(body[at+257:], "ustar  \x00")
	copy(body[at+386:], "00000000000\x0000000001001\x00")
	copy(body[at+483:], "00000001001\x00")
	copy(body[at+148:], fmt.Sprintf("%06o\x00 ", checksum(body[at:at+tarBlock])))

	for _, sparse := range []bool{true, false} {
		if !sparse {
			body = body[at+tarBlock+1024:] // what follows it
		}
		for _, in := range []archive{newFeed(bytes.NewReader(body)), &window{src: bytes.NewReader(body), size: int64(len(body))}} {
			want := tar.NewReader(bytes.NewReader(body))
			got := members{in: in}
			n := 0
			for ; ; n++ {
				h, wantErr := want.Next()
				m, err := got.advance()
				if wantErr != nil || err != nil {
					if !errors.Is(wantErr, io.EOF) || !errors.Is(err, io.EOF) {
						t.Fatalf("%T: member %d: got %v, want %v", in, n, err, wantErr)
					}
					break
				}
				if string(m.name) != h.Name || m.size != h.Size || m.kind != h.Typeflag {
					t.Fatalf("%T: got %q %d %q, want %q %d %q", in, m.name, m.size, m.kind, h.Name, h.Size, h.Typeflag)
				}
				if n%2 == 0 {
					continue // its body is passed over
				}
				wantBody, err1 := io.ReadAll(want)
				gotBody, err2 := io.ReadAll(got.body)
				if err1 != nil || err2 != nil || !bytes.Equal(gotBody, wantBody) {
					t.Fatalf("%T: body of %q: got %d bytes %v, want %d %v", in, m.name, len(gotBody), err2, len(wantBody), err1)
				}
			}
			if n < 20 {
				t.Errorf("%T: got %d members only", in, n)
			}
			if (got.whole != nil) != sparse {
				t.Errorf("%T: archive/tar reads the rest: %v, want %v", in, got.whole != nil, sparse)
			}
		}
	}
}

// BenchmarkMembers passes over the headers of thumbnails and their labels.
func BenchmarkMembers(b *testing.B) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	const n = 1000
	for i := range n {
		for _, size := range []int{900, 1} {
			if err := w.WriteHeader(&tar.Header{Name: fmt.Sprintf("%06d.jpg", i), Mode: 0o644, Size: int64(size)}); err != nil {
				b.Fatal(err)
			}
			if _, err := w.Write(make([]byte, size)); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	for _, impl := range []string{"archive/tar", "members"} {
		b.Run("impl="+impl, func(b *testing.B) {
			for b.Loop() {
				in := &window{src: bytes.NewReader(buf.Bytes()), size: int64(buf.Len())}
				own, std := members{in: in}, tar.NewReader(in)
				for {
					var err error
					if impl == "members" {
						_, err = own.advance()
					} else {
						_, err = std.Next()
					}
					if errors.Is(err, io.EOF) {
						break
					}
					if err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(2*n*b.N)/b.Elapsed().Seconds(), "headers/s")
		})
	}
}
