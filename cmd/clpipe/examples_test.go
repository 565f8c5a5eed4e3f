//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"clpipe/sink"
)

// examples is where the programs are that others would copy. Those whose
// interpreter or modules are not here are skipped: `pip install` and, in
// examples/node, `npm install` bring them. CLPIPE_PYTHON names the interpreter
// if it is not python3.
var examples = filepath.Join("..", "..", "examples")

// TestExamplesOnAPipe runs each example behind a clpipe and compares what it
// saw with what our own reader sees.
func TestExamplesOnAPipe(t *testing.T) {
	if testing.Short() {
		t.Skip("starts interpreters")
	}
	set := shardsIn(t)
	dir := t.TempDir()
	images, pairs := filepath.Join(dir, "images.arrows"), filepath.Join(dir, "pairs.arrows")
	clpipe(t, "ingest", "--src", set, "-o", images)
	clpipe(t, "augment", "--src", set, "--epochs", "2", "--batch", "16", "-o", pairs)
	imageMean, rows := meanOf(t, images)
	anchorMean, _ := meanOf(t, pairs)

	ingest := []string{"ingest", "--src", set}
	augment := []string{"augment", "--src", set, "--epochs", "2", "--batch", "16"}
	for name, c := range map[string]struct {
		example *exec.Cmd
		from    []string
		want    string
	}{
		"pyarrow":      {python(t, "pyarrow_read.py", "pyarrow", "numpy"), ingest, fmt.Sprintf("^images/1\n40 images, mean %.1f, the last %s\n$", imageMean, rows[len(rows)-1])},
		"pyarrow lz4":  {python(t, "pyarrow_read.py", "pyarrow", "numpy"), append(ingest, "--compress", "lz4"), fmt.Sprintf("^images/1\n40 images, mean %.1f, ", imageMean)},
		"pyarrow zstd": {python(t, "pyarrow_read.py", "pyarrow", "numpy"), append(ingest, "--compress", "zstd"), fmt.Sprintf("^images/1\n40 images, mean %.1f, ", imageMean)},
		"pytorch":      {python(t, "pytorch_pipe.py", "pyarrow", "torch"), augment, `^80 pairs, loss [0-9]+\.[0-9]+` + "\n$"},
		"node":         {node("read_pairs.js"), augment, fmt.Sprintf("^pairs/1\n80 pairs, mean %.1f\n$", anchorMean)},
	} {
		t.Run(name, func(t *testing.T) {
			if c.example == nil {
				t.Skip("its interpreter or modules are not here")
			}
			producer := command(t, c.from...)
			pipe, write, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			producer.Stdout = write
			producer.start()
			write.Close()
			c.example.Stdin = pipe
			out, err := c.example.CombinedOutput()
			pipe.Close()
			producer.wantCode(exitDone)
			if err != nil || !regexp.MustCompile(c.want).Match(out) {
				t.Errorf("%v: %v: got %s, want %s", c.example.Args, err, out, c.want)
			}
		})
	}
}

// TestExampleOnFlight shares a stream between two trainers.
func TestExampleOnFlight(t *testing.T) {
	if testing.Short() {
		t.Skip("starts interpreters")
	}
	if python(t, "pytorch_flight.py", "pyarrow.flight", "torch") == nil {
		t.Skip("its interpreter or modules are not here")
	}
	t.Setenv(tokenVariable, "open sesame")
	server := command(t, "serve", "--src", shardsIn(t), "--listen", "127.0.0.1:0", "--json")
	server.Stdout = nil
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer server.Wait()
	defer server.Process.Kill()
	var said struct{ Address string }
	if err := json.NewDecoder(out).Decode(&said); err != nil {
		t.Fatal(err)
	}
	total := 0
	for rank := range 2 {
		trainer := python(t, "pytorch_flight.py")
		trainer.Args = append(trainer.Args, said.Address, fmt.Sprint(rank), "2")
		text, err := trainer.CombinedOutput()
		var n int
		if _, err2 := fmt.Sscanf(string(text), "%d pairs, loss ", &n); err != nil || err2 != nil {
			t.Fatalf("rank %d: %v: %s", rank, err, text)
		}
		total += n
	}
	if total != 80 {
		t.Errorf("the two ranks got %d pairs of two epochs, want 80", total)
	}
}

// TestExamplesOnEmbeddings opens a file of embeddings with other people's readers.
func TestExamplesOnEmbeddings(t *testing.T) {
	if testing.Short() {
		t.Skip("starts interpreters")
	}
	duckdb, polars := python(t, "duckdb_embeddings.py", "duckdb"), python(t, "polars_embeddings.py", "polars")
	if duckdb == nil && polars == nil {
		t.Skip("their interpreter or modules are not here")
	}
	set, dir := shardsIn(t), t.TempDir()
	run, file := filepath.Join(dir, "run"), filepath.Join(dir, "embeddings.parquet")
	clpipe(t, "train", "--src", set, "--run", run, "--steps", "1", "--batch", "8", "--queue", "16", "--width", "0.125", "--quiet")
	clpipe(t, "embed", "--run", run, "--src", set, "-o", file, "--quiet")
	for _, c := range []struct {
		example *exec.Cmd
		lines   int
		first   string
	}{{duckdb, 5, "^1.000  0  "}, {polars, 11, "^label,images,norm\n0,4,[0-9.]+\n1,4,"}} {
		if c.example == nil {
			continue
		}
		c.example.Args = append(c.example.Args, file)
		out, err := c.example.CombinedOutput()
		if err != nil || strings.Count(string(out), "\n") != c.lines || !regexp.MustCompile(c.first).Match(out) {
			t.Errorf("%v: %v: got %s, want %d lines, the first %s", c.example.Args, err, out, c.lines, c.first)
		}
	}
}

// python returns the command of an example, nil if Python or one of the modules
// is not here.
func python(t *testing.T, example string, modules ...string) *exec.Cmd {
	interpreter := os.Getenv("CLPIPE_PYTHON")
	if interpreter == "" {
		interpreter = "python3"
	}
	find := "import importlib.util, sys; sys.exit(not all(map(importlib.util.find_spec, sys.argv[1:])))"
	if err := exec.Command(interpreter, append([]string{"-c", find}, modules...)...).Run(); err != nil {
		t.Logf("%s: %s with %v: %v", example, interpreter, modules, err)
		return nil
	}
	return exec.Command(interpreter, filepath.Join(examples, example))
}

// node returns the command of a JavaScript example, nil if Node or its modules
// are not here.
func node(example string) *exec.Cmd {
	dir := filepath.Join(examples, "node")
	interpreter, err := exec.LookPath("node")
	if err != nil {
		return nil
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "apache-arrow")); err != nil {
		return nil
	}
	return exec.Command(interpreter, filepath.Join(dir, example))
}

// meanOf returns the mean over the first picture of each row of a stream in a
// file, and the rows' ids.
func meanOf(t *testing.T, path string) (mean float64, ids []string) {
	t.Helper()
	f, err := openInput(t.Context(), stdio{}, path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sum, n := 0, 0
	err = eachRow(t.Context(), f, 0, func(r streamRow, pictures func() ([]sink.Picture, error)) error {
		p, err := pictures()
		if err != nil {
			return err
		}
		for _, v := range p[0].Pix {
			sum += int(v)
		}
		n += len(p[0].Pix)
		ids = append(ids, r.ID)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return float64(sum) / float64(n), ids
}
