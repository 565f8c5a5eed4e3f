package tarshard_test

import (
	"errors"
	"io"
	"testing"

	"clpipe/ingest/shard"
	"clpipe/ingest/tarshard"
)

// FuzzShard reads any bytes as a shard, by addresses and in sequence. Neither
// may panic; both must find the same samples.
func FuzzShard(f *testing.F) {
	body := archive(f, file{name: "a.jpg", body: "A"}, file{name: "a.cls", body: "3"}, file{name: "b.png", body: "BBBB"})
	f.Add(body)
	f.Add(body[:700])
	f.Add(pack(f, "gz", body))
	f.Add(pack(f, "zst", body))
	f.Add([]byte("text"))
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > 64<<10 {
			return
		}
		bySequence, err1 := list(t, sequential{body: body, opened: new(int)})
		byAddress, err2 := list(t, random{sequential{body: body, opened: new(int)}})
		if (err1 == nil) != (err2 == nil) {
			t.Fatalf("in sequence %v, by address %v", err1, err2)
		}
		if len(bySequence) != len(byAddress) {
			t.Fatalf("%d samples in sequence, %d by address (%v, %v)", len(bySequence), len(byAddress), err1, err2)
		}
		for i := range bySequence {
			if bySequence[i] != byAddress[i] {
				t.Fatalf("sample %d: in sequence %s, by address %s", i, bySequence[i], byAddress[i])
			}
		}
	})
}

// list returns key, offset and size of the samples of an object.
func list(t *testing.T, obj shard.Object) ([]string, error) {
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
		sample.Image = nil
		out = append(out, describe(sample, nil))
	}
}
