package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"clpipe/batch"
	"clpipe/sink"

	"github.com/rogpeppe/go-internal/testscript"
)

// samerun [-piped] RUN RUN... fails unless the runs ended alike; with ! unless
// they did not. -piped leaves out the rejects, which other processes saw.
func samerun(ts *testscript.TestScript, neg bool, args []string) {
	piped := len(args) > 0 && args[0] == "-piped"
	if piped {
		args = args[1:]
	}
	if len(args) < 2 {
		ts.Fatalf("usage: samerun [-piped] RUN RUN...")
	}
	for _, other := range args[1:] {
		err := sameOutcome(ts.MkAbs(args[0]), ts.MkAbs(other))
		if err == nil && !piped {
			err = sameRejects(ts.MkAbs(args[0]), ts.MkAbs(other))
		}
		if neg && err == nil {
			ts.Fatalf("%s and %s are the same run", args[0], other)
		}
		if !neg {
			ts.Check(err)
		}
	}
}

// metrics RUN FIELD... fails unless each logged step has the fields, and steps
// go up.
func metrics(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: metrics RUN FIELD...")
	}
	entries, err := readMetrics(ts.MkAbs(args[0]))
	ts.Check(err)
	last := 0.0
	for _, e := range entries {
		if _, ofEpoch := e["epoch_loss"]; ofEpoch {
			continue
		}
		for _, field := range args[1:] {
			if _, ok := e[field]; !ok {
				ts.Fatalf("an entry has no field %s: %v", field, e)
			}
		}
		if step := e["step"].(float64); step <= last {
			ts.Fatalf("step %v after %v", step, last)
		} else {
			last = step
		}
	}
	if last == 0 {
		ts.Fatalf("no step is logged")
	}
}

// lastline stdout|stderr PATTERN fails unless the last line of output matches.
func lastline(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: lastline stdout|stderr PATTERN")
	}
	lines := strings.Split(strings.TrimSuffix(ts.ReadFile(args[0]), "\n"), "\n")
	if last := lines[len(lines)-1]; !regexp.MustCompile(args[1]).MatchString(last) {
		ts.Fatalf("the last line is %q, want a match of %s", last, args[1])
	}
}

// sameOutcome compares two runs: digests, length, and metrics but for times.
func sameOutcome(a, b string) error {
	sumA, errA := sink.ReadSummary(a)
	sumB, errB := sink.ReadSummary(b)
	if errA != nil || errB != nil || sumA == nil || sumB == nil {
		return fmt.Errorf("summaries of %s: %v %v; of %s: %v %v", a, sumA, errA, b, sumB, errB)
	}
	if sumA.Digests != sumB.Digests || sumA.Steps != sumB.Steps || sumA.Samples != sumB.Samples {
		return fmt.Errorf("%s ended with %+v, %s with %+v", a, *sumA, b, *sumB)
	}
	linesA, errA := readMetrics(a)
	linesB, errB := readMetrics(b)
	if errA != nil || errB != nil {
		return fmt.Errorf("metrics: %v, %v", errA, errB)
	}
	// Runs may log at different steps; what both log is equal.
	byPlace := map[string]string{}
	for _, e := range linesA {
		place, text := placeAndText(e)
		if _, twice := byPlace[place]; twice {
			return fmt.Errorf("%s: %s is logged twice", a, place)
		}
		byPlace[place] = text
	}
	seen := map[string]bool{}
	for _, e := range linesB {
		place, text := placeAndText(e)
		if seen[place] {
			return fmt.Errorf("%s: %s is logged twice", b, place)
		}
		seen[place] = true
		if want, ok := byPlace[place]; ok && want != text {
			return fmt.Errorf("%s: %s: got %s, want %s", b, place, text, want)
		}
	}
	return nil
}

// sameRejects compares the rejected samples of two runs up to where they ended.
func sameRejects(a, b string) error {
	rejectsA, errA := readRejects(a)
	rejectsB, errB := readRejects(b)
	if errA != nil || errB != nil || rejectsA != rejectsB {
		return fmt.Errorf("rejects of %s: %v\n%s\nof %s: %v\n%s", a, errA, rejectsA, b, errB, rejectsB)
	}
	return nil
}

// placeAndText returns what an entry of the metrics is about, and all it says
// that does not depend on time or on who watches.
func placeAndText(e map[string]any) (place, text string) {
	place = fmt.Sprintf("step %v", e["step"])
	if _, ofEpoch := e["epoch_loss"]; ofEpoch {
		place = fmt.Sprintf("epoch %v", e["epoch"])
	}
	for _, k := range []string{"pairs_per_s", "stages", "knn_top1", "knn_ci"} {
		delete(e, k)
	}
	return place, fmt.Sprint(e) // maps print sorted
}

func readMetrics(run string) ([]map[string]any, error) {
	text, err := os.ReadFile(filepath.Join(run, "metrics.jsonl"))
	if err != nil {
		return nil, err
	}
	var out []map[string]any
	for line := range bytes.Lines(text) {
		var e map[string]any
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("%s: %w", line, err)
		}
		out = append(out, e)
	}
	return out, nil
}

// readRejects returns the rejects before the run's position, a line each. Those
// behind it depend on how far the stages were ahead.
func readRejects(run string) (string, error) {
	last, _, err := sink.Latest(run)
	if err != nil || last == nil || last.Position == nil {
		return "", err
	}
	text, err := os.ReadFile(filepath.Join(run, "rejected.jsonl"))
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for line := range bytes.Lines(text) {
		var r batch.Reject
		if err := json.Unmarshal(line, &r); err != nil {
			return "", fmt.Errorf("%s: %w", line, err)
		}
		if (batch.Position{Epoch: r.Epoch, Index: r.Index}).Before(*last.Position) {
			out.WriteString(r.Error() + "\n")
		}
	}
	return out.String(), nil
}
