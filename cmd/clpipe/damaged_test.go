package main

import (
	"bytes"
	"context"
	"flag"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

var damagedStreams = flag.Int("damaged", 12, "damaged streams for each kind and each reader")

// TestDamagedStreams puts streams that were cut, altered, shortened in the
// middle or spliced into each reader: it ends with an exit code of its own and a
// message, whatever arrives.
func TestDamagedStreams(t *testing.T) {
	dir := t.TempDir()
	set, trained := filepath.Join(dir, "set"), filepath.Join(dir, "run")
	clpipe(t, "shards", "synth", "-o", set, "--images", "48", "--test", "0", "--size", "16", "--shards", "2")
	small := []string{"--size", "16", "--width", "0.125", "--batch", "8", "--queue", "16", "--split-bn", "1", "--dim", "16", "--quiet"}
	clpipe(t, append([]string{"--src", set, "--run", trained, "--steps", "2"}, small...)...)
	file := func(name string) string { return filepath.Join(dir, name) }
	clpipe(t, "ingest", "--src", set, "-o", file("images"))
	clpipe(t, "ingest", "--src", set, "--encoded", "-o", file("encoded"), "--compress", "lz4")
	clpipe(t, "augment", "--src", set, "--size", "16", "--batch", "8", "-o", file("pairs"), "--compress", "zstd")
	clpipe(t, "augment", "--src", set, "--size", "32", "--policy", "cpc", "--batch", "8", "-o", file("patches"))
	clpipe(t, "embed", "--src", set, "--run", trained, "-o", file("embeddings.arrows"))

	var whole [][]byte
	for _, name := range []string{"images", "encoded", "pairs", "patches", "embeddings.arrows"} {
		stream, err := os.ReadFile(file(name))
		if err != nil {
			t.Fatal(err)
		}
		whole = append(whole, stream)
	}
	readers := map[string][]string{
		"augment": {"augment", "--size", "16", "-o", file("out.arrows")},
		"train":   append([]string{"train", "--steps", "3"}, small...),
		"embed":   {"embed", "--run", trained, "-o", file("out.parquet")},
		"cat":     {"cat"},
		"head":    {"head"},
		"schema":  {"schema"},
	}
	for name, args := range readers {
		t.Run(name, func(t *testing.T) {
			draw := rand.New(rand.NewPCG(1, uint64(len(name))))
			for i := range *damagedStreams * len(whole) {
				stream := harmed(draw, whole[i%len(whole)], whole)
				args := args
				if name == "train" {
					args = append(args[:len(args):len(args)], "--run", filepath.Join(t.TempDir(), strconv.Itoa(i)))
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				var stderr strings.Builder
				code := run(ctx, args, stdio{bytes.NewReader(stream), io.Discard, &stderr})
				if ctx.Err() != nil {
					t.Fatalf("stream %d: not at an end after a minute", i)
				}
				cancel()
				switch code {
				case exitDone:
				case exitFailed, exitUsage, exitData:
					if !strings.HasPrefix(stderr.String(), "clpipe: ") && !strings.Contains(stderr.String(), "\nclpipe: ") {
						t.Errorf("stream %d: exit code %d without a reason: %s", i, code, &stderr)
					}
				default:
					t.Errorf("stream %d: exit code %d: %s", i, code, &stderr)
				}
			}
		})
	}
}

// harmed returns a stream with some harm done to it.
func harmed(draw *rand.Rand, stream []byte, others [][]byte) []byte {
	out := bytes.Clone(stream)
	place := func() int { // metadata, which is where lengths stand, twice as often
		if draw.IntN(2) == 0 {
			return draw.IntN(min(len(out), 2000))
		}
		return draw.IntN(len(out))
	}
	switch draw.IntN(6) {
	case 0:
		out = out[:place()]
	case 1:
		for range 1 + draw.IntN(8) {
			out[place()] ^= 1 << draw.IntN(8)
		}
	case 2:
		at := place()
		for i := at; i < min(at+8, len(out)); i++ {
			out[i] = 0xff >> draw.IntN(2)
		}
	case 3:
		from := place()
		out = append(out[:from], out[min(from+1+draw.IntN(64), len(out)):]...)
	case 4:
		other := others[draw.IntN(len(others))]
		out = append(out[:place()], other[draw.IntN(len(other)):]...)
	case 5:
		for i := range out[:min(len(out), 1+draw.IntN(400))] {
			out[i] = byte(draw.Uint32())
		}
	}
	return out
}
