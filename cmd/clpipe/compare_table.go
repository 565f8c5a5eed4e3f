package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"clpipe/encoder/probe"
	"clpipe/ingest/remote"
	"clpipe/sink/chart"
)

// A comparedRow is a method's accuracy by one probe, over the seeds.
type comparedRow struct {
	Method   string    `json:"method"`
	Probe    string    `json:"probe"`
	Labels   float64   `json:"labels"`
	Top1     float64   `json:"top1"` // mean over the seeds
	Std      float64   `json:"std"`
	Balanced float64   `json:"balanced"` // mean over the seeds of the mean over the classes
	Seeds    int       `json:"seeds"`
	Runs     []float64 `json:"runs"`              // top-1 of each seed
	Steps    []int     `json:"steps,omitempty"`   // likewise
	Samples  []int64   `json:"samples,omitempty"` // trained on, likewise
	Seconds  []float64 `json:"seconds,omitempty"` // of training, likewise
}

// comparedTable holds the rows in the order of the methods.
type comparedTable struct {
	methods  []string
	rows     []comparedRow
	majority float64
}

func tabulate(cells []cell) comparedTable {
	var t comparedTable
	at := map[string]int{}
	for _, c := range cells {
		t.majority = c.Majority
		for _, r := range c.Results {
			key := fmt.Sprint(c.Method, r.Probe, r.Labels)
			if _, ok := at[key]; !ok {
				at[key] = len(t.rows)
				t.rows = append(t.rows, comparedRow{Method: c.Method, Probe: r.Probe, Labels: r.Labels})
			}
			row := &t.rows[at[key]]
			row.Runs = append(row.Runs, r.Top1)
			row.Balanced += (r.Balanced - row.Balanced) / float64(len(row.Runs))
			if c.Steps > 0 {
				row.Steps, row.Samples, row.Seconds = append(row.Steps, c.Steps), append(row.Samples, c.Samples), append(row.Seconds, c.Seconds)
			}
		}
	}
	for i := range t.rows {
		row := &t.rows[i]
		row.Seeds = len(row.Runs)
		row.Top1, row.Std = probe.MeanStd(row.Runs)
		if len(t.methods) == 0 || t.methods[len(t.methods)-1] != row.Method {
			t.methods = append(t.methods, row.Method)
		}
	}
	return t
}

// comparedColumns are the measures of the table for people; the JSON has all.
var comparedColumns = []struct {
	title, probe string
	labels       float64
}{
	{"linear", "linear", 1}, {"kNN", "knn", 1}, {"MLP", "mlp", 1}, {"linear, 10 % labels", "linear", 0.1}, {"linear, 1 % labels", "linear", 0.01},
}

// find returns a method's row, nil if there is none.
func (t comparedTable) find(method, probe string, labels float64) *comparedRow {
	for i, r := range t.rows {
		if r.Method == method && r.Probe == probe && r.Labels == labels {
			return &t.rows[i]
		}
	}
	return nil
}

// lines returns the table as cells of text, the titles first.
func (t comparedTable) lines() [][]string {
	head := []string{"method"}
	for _, c := range comparedColumns {
		head = append(head, c.title)
	}
	lines := [][]string{append(head, "steps", "images", "minutes")}
	for _, m := range t.methods {
		line := []string{m}
		steps, samples, minutes := "", "", ""
		for _, c := range comparedColumns {
			text := ""
			if r := t.find(m, c.probe, c.labels); r != nil {
				text = fmt.Sprintf("%.1f", 100*r.Top1)
				if r.Seeds > 1 {
					text += fmt.Sprintf(" ± %.1f", 100*r.Std)
				}
				if len(r.Steps) > 0 {
					steps, samples, minutes = rangeText(r.Steps), rangeText(r.Samples), rangeText(inMinutes(r.Seconds))
				}
			}
			line = append(line, text)
		}
		lines = append(lines, append(line, steps, samples, minutes))
	}
	return lines
}

// rangeText is a number, or the range of several over the seeds.
func rangeText[T cmp.Ordered](values []T) string {
	low, high := slices.Min(values), slices.Max(values)
	if low == high {
		return fmt.Sprint(low)
	}
	return fmt.Sprintf("%v to %v", low, high)
}

// inMinutes returns times of training in minutes, to a tenth.
func inMinutes(seconds []float64) []float64 {
	out := make([]float64, len(seconds))
	for i, s := range seconds {
		out[i] = math.Round(s/6) / 10
	}
	return out
}

// write puts table.md, table.json and table.png into the directory.
func (c *comparison) write(t comparedTable) error {
	var md strings.Builder
	fmt.Fprintf(&md, "Top-1 accuracy in percent on %s", remote.Redact(c.test))
	if c.seeds > 1 {
		fmt.Fprintf(&md, ", mean and deviation over the seeds, %d at most", c.seeds)
	}
	fmt.Fprintf(&md, ". Trained with `clpipe %s`. %s\n\n", shellLine(redacted(c.trainingArgs(nil))), t.chance())
	for i, line := range t.lines() {
		fmt.Fprintf(&md, "| %s |\n", strings.Join(line, " | "))
		if i == 0 {
			fmt.Fprintf(&md, "|%s\n", strings.Repeat("---|", len(line)))
		}
	}
	for _, s := range c.skipped {
		fmt.Fprintf(&md, "\nLeft out: %s\n", s)
	}
	if err := replaceText(filepath.Join(c.dir, "table.md"), md.String()); err != nil {
		return err
	}
	text, err := json.MarshalIndent(t.rows, "", " ")
	if err != nil {
		return err
	}
	if err := replaceText(filepath.Join(c.dir, "table.json"), string(text)+"\n"); err != nil {
		return err
	}
	return chart.WriteBars(filepath.Join(c.dir, "table.png"), t.bars())
}

// chance says what needs no features.
func (t comparedTable) chance() string {
	return fmt.Sprintf("The commonest class of the training images, always: %.1f.", 100*t.majority)
}

func (t comparedTable) bars() chart.Bars {
	d := chart.Bars{Title: "What was learned with the same budget", YLabel: "top-1 accuracy, %"}
	d.Groups = append(d.Groups, t.methods...)
	for _, col := range comparedColumns {
		s := chart.BarSeries{Name: col.title}
		for _, m := range t.methods {
			value, std := math.NaN(), 0.0
			if r := t.find(m, col.probe, col.labels); r != nil {
				value, std = 100*r.Top1, 100*r.Std
			}
			s.Values, s.Err = append(s.Values, value), append(s.Err, std)
		}
		d.Series = append(d.Series, s)
	}
	return d
}

func (c *comparison) print(t comparedTable) error {
	if c.train.common.json {
		enc := json.NewEncoder(c.std.out)
		for _, r := range t.rows {
			if err := enc.Encode(r); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(c.std.out, 0, 0, 3, ' ', 0)
	for _, line := range t.lines() {
		fmt.Fprintln(w, strings.Join(line, "\t"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(c.std.out, "\n%s\ntable and picture: %s\n", t.chance(), filepath.Join(c.dir, "table.{md,json,png}"))
	return err
}
