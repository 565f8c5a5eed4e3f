package sink

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// Whatever stands in the files of a checkpoint, it is opened or refused.
func FuzzCheckpoint(f *testing.F) {
	dir := f.TempDir()
	if err := writeCheckpoint(osDisk{}, dir, 1, stateAt(1), config); err != nil {
		f.Fatal(err)
	}
	sums, err := os.ReadFile(filepath.Join(dir, stepName(1), sumsName))
	if err != nil {
		f.Fatal(err)
	}
	state, err := os.ReadFile(filepath.Join(dir, stepName(1), stateName))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sums, state)
	f.Add([]byte("  \n"), []byte("null"))
	f.Add(sums[:len(sums)-1], []byte(`{"format":1,"cursor":{"position":[]}}`))
	f.Fuzz(func(t *testing.T, sums, state []byte) {
		dir := t.TempDir()
		if err := writeCheckpoint(osDisk{}, dir, 1, stateAt(1), config); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string][]byte{sumsName: sums, stateName: state} {
			if err := os.WriteFile(filepath.Join(dir, stepName(1), name), text, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		c, refused, err := latest(dir)
		if (c == nil) != (len(refused) > 0) || (c == nil) != (err != nil) {
			t.Fatalf("got %v, refused %v, error %v", c, refused, err)
		}
		if c != nil {
			if _, err := c.Load(); err != nil {
				t.Fatalf("accepted, but: %v", err)
			}
		}
	})
}

// Cutting a journal leaves whole lines of JSON, each of which stood there, and
// cutting it again changes nothing.
func FuzzCutJournal(f *testing.F) {
	f.Add([]byte("{\"step\":1}\n{\"step\":9}\n{\"st"))
	f.Add([]byte("\n\n\x00\x00[]\n\"step\"\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), metricsFile)
		if err := os.WriteFile(path, text, 0o666); err != nil {
			t.Fatal(err)
		}
		keep := func(line []byte) bool { return parseEntry(line).Step <= 5 }
		if err := cutJournal(osDisk{}, path, keep); err != nil {
			t.Fatal(err)
		}
		once, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(once) {
			if line[len(line)-1] != '\n' || !json.Valid(line) || !bytes.Contains(text, line) {
				t.Errorf("kept %q", line)
			}
		}
		if err := cutJournal(osDisk{}, path, keep); err != nil {
			t.Fatal(err)
		}
		if twice, err := os.ReadFile(path); err != nil || !bytes.Equal(once, twice) {
			t.Errorf("got %q, then %q (%v)", once, twice, err)
		}
	})
}

func FuzzDiffConfig(f *testing.F) {
	f.Add([]byte("a: 1\nb: {c: [1, 2]}\n"), []byte("a: &x {y: *x}\n"))
	f.Add([]byte("? [a]\n: 1\n"), []byte("a: .nan\n"))
	f.Fuzz(func(t *testing.T, before, now []byte) {
		there, err := DiffConfig(before, now, nil)
		if err != nil {
			return
		}
		back, err := DiffConfig(now, before, nil)
		if err != nil || len(there) != len(back) {
			t.Errorf("got %q one way, %q (%v) the other", there, back, err)
		}
	})
}
