// Claims repeats claims of the literature with the clpipe binary, each by one
// command: it trains the variants with one budget, measures their features, and
// says whether the claim shows.
//
//	go build -o clpipe ./cmd/clpipe
//	go run ./benchmarks/claims --clpipe ./clpipe --train 'cifar10/train-*.tar' --test 'cifar10/test-*.tar' momentum
//
// It prints an object a variant and one for the verdict, and draws CLAIM.png. A
// claim that does not show at this scale is reported so; a variant that the
// binary refuses is left out, with its reason. Finished variants are kept, so
// that the same command goes on after a stop.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"clpipe/sink/chart"
)

// A scale is how much is spent on a variant.
type scale struct {
	seeds, batch, steps int
	width               string
}

var scales = map[string]scale{
	"small": {1, 128, 400, "0.125"}, // an epoch of CIFAR-10: minutes a variant on one core
	"quick": {1, 128, 300, "0.25"},
	"full":  {3, 256, 3900, "1"}, // 20 epochs of CIFAR-10
}

// An outcome is a variant measured: accuracies in percent, mean over the seeds.
type outcome struct {
	Claim   string     `json:"claim"`
	Variant string     `json:"variant"`
	Scale   string     `json:"scale"`
	Seeds   int        `json:"seeds"`
	KNN     float64    `json:"knn"`
	Linear  float64    `json:"linear"`
	CI      [2]float64 `json:"ci"`   // 95 % of the linear probe: the widest of any seed's, and all seeds' means
	Loss    float64    `json:"loss"` // of the last entry of the metrics
	Left    string     `json:"left_out,omitempty"`
	Command string     `json:"command"`
}

type verdict struct {
	Claim string `json:"claim"`
	Says  string `json:"says"`
	Shown bool   `json:"shown"`
	Text  string `json:"text"`
}

type options struct {
	clpipe, train, test, scale, out string
	limit, steps, workers           int
}

func main() {
	var o options
	flag.StringVar(&o.clpipe, "clpipe", "clpipe", "the binary")
	flag.StringVar(&o.train, "train", "", "labelled images to train on")
	flag.StringVar(&o.test, "test", "", "labelled images to classify")
	flag.StringVar(&o.scale, "scale", "quick", "small (width 0.125, 400 steps, one seed), quick (width 0.25, 300 steps, one seed) or full (width 1, 20 epochs, three seeds)")
	flag.StringVar(&o.out, "o", "claims", "directory of runs, results and pictures")
	flag.IntVar(&o.limit, "limit", 0, "images of each set (0: all)")
	flag.IntVar(&o.steps, "steps", 0, "steps of each variant (0: the scale's)")
	flag.IntVar(&o.workers, "workers", 0, "workers of the binary (0: one for each processor); changes no result")
	flag.Parse()
	if err := run(o, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "claims:", err)
		os.Exit(1)
	}
}

func run(o options, names []string) error {
	if _, ok := scales[o.scale]; !ok || o.train == "" || o.test == "" {
		return errors.New("want --train and --test, and --scale small, quick or full")
	}
	if len(names) == 0 {
		for _, c := range claims {
			names = append(names, c.name)
		}
	}
	enc := json.NewEncoder(os.Stdout)
	for _, name := range names {
		at := slices.IndexFunc(claims, func(c claim) bool { return c.name == name })
		if at < 0 {
			return fmt.Errorf("there is no claim %q", name)
		}
		var outcomes []outcome
		for _, v := range claims[at].variants {
			got, err := o.measured(claims[at], v)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", name, v.name, err)
			}
			outcomes = append(outcomes, got)
			if err := enc.Encode(got); err != nil {
				return err
			}
		}
		if err := enc.Encode(judge(claims[at], outcomes)); err != nil {
			return err
		}
		if err := draw(filepath.Join(o.out, name+".png"), claims[at], outcomes); err != nil {
			return err
		}
	}
	return nil
}

// measured trains and probes a variant, or returns what is there from before.
func (o options) measured(c claim, v variant) (outcome, error) {
	dir := filepath.Join(o.out, o.scale, c.name, strings.NewReplacer(" ", "-", ",", "").Replace(v.name))
	done := filepath.Join(dir, "outcome.json")
	if text, err := os.ReadFile(done); err == nil {
		var got outcome
		return got, json.Unmarshal(text, &got)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return outcome{}, err
	}
	s := scales[o.scale]
	got := outcome{Claim: c.name, Variant: v.name, Scale: o.scale, Seeds: s.seeds, CI: [2]float64{100, 0}}
	if o.steps > 0 {
		s.steps = o.steps
	}
	if v.batch > 0 {
		s.steps, s.batch = max(1, s.steps*s.batch/v.batch), v.batch
	}
	args := []string{
		"--src", o.train, "--limit", strconv.Itoa(o.limit), "--quiet",
		"--width", s.width, "--batch", strconv.Itoa(s.batch), "--steps", strconv.Itoa(s.steps),
	}
	args = append(args, v.args...)
	if v.policy != "" {
		policy := filepath.Join(dir, "policy.yaml")
		if err := os.WriteFile(policy, []byte(v.policy), 0o644); err != nil {
			return got, err
		}
		args = append(args, "--policy", policy)
	}
	got.Command = "clpipe " + strings.Join(args, " ")
	for seed := 1; seed <= s.seeds; seed++ {
		run := filepath.Join(dir, fmt.Sprintf("seed%d", seed))
		if _, err := o.call(append(slices.Clone(args), "--seed", strconv.Itoa(seed), "--run", run, "--resume")...); err != nil {
			var refused *refusedError
			if errors.As(err, &refused) {
				got.Left = refused.text
				return got, nil
			}
			return got, err
		}
		out, err := o.call("probe", "--run", run, "--train", o.train, "--test", o.test, "--limit", strconv.Itoa(o.limit), "--baselines", "", "--json", "--quiet")
		if err != nil {
			return got, err
		}
		if err := got.add(out); err != nil {
			return got, err
		}
		loss, err := lastLoss(filepath.Join(run, "metrics.jsonl"))
		if err != nil {
			return got, err
		}
		got.Loss += loss / float64(s.seeds)
	}
	text, err := json.Marshal(got)
	if err != nil {
		return got, err
	}
	return got, os.WriteFile(done, text, 0o644)
}

// refusedError is wrong usage: the binary has no such method or setting.
type refusedError struct{ text string }

func (e *refusedError) Error() string { return e.text }

func (o options) call(args ...string) ([]byte, error) {
	cmd := exec.Command(o.clpipe, append(args, "--workers", strconv.Itoa(o.workers))...)
	var out, messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &messages
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 2 {
		return nil, &refusedError{strings.TrimSpace(messages.String())}
	}
	if err != nil {
		return nil, fmt.Errorf("%v: %w: %s", cmd.Args, err, messages.String())
	}
	return out.Bytes(), nil
}

// add takes in the probes of a seed.
func (r *outcome) add(lines []byte) error {
	for line := range bytes.Lines(lines) {
		var p struct {
			Probe string
			Top1  float64
			CI    [2]float64
		}
		if err := json.Unmarshal(line, &p); err != nil {
			return err
		}
		if p.Probe == "knn" {
			r.KNN += 100 * p.Top1 / float64(r.Seeds)
			continue
		}
		r.Linear += 100 * p.Top1 / float64(r.Seeds)
		r.CI = [2]float64{min(r.CI[0], 100*p.CI[0]), max(r.CI[1], 100*p.CI[1])}
	}
	return nil
}

// lastLoss is the loss of the last entry that has one.
func lastLoss(path string) (float64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	loss := math.NaN()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var entry struct{ Loss *float64 }
		if err := json.Unmarshal(lines.Bytes(), &entry); err == nil && entry.Loss != nil {
			loss = *entry.Loss
		}
	}
	if math.IsNaN(loss) {
		return 0, fmt.Errorf("%s: no entry has a loss", path)
	}
	return loss, nil
}

// judge compares the variants that the claim is about.
func judge(c claim, outcomes []outcome) verdict {
	find := func(name string) outcome {
		return outcomes[slices.IndexFunc(outcomes, func(o outcome) bool { return o.Variant == name })]
	}
	better, worse := find(c.better), find(c.worse)
	v := verdict{Claim: c.name, Says: c.says}
	if better.Left != "" || worse.Left != "" {
		v.Text = "not measured: " + better.Left + worse.Left
		return v
	}
	v.Shown = better.CI[0] > worse.CI[1]
	relation := "above"
	if !v.Shown {
		relation = "not clearly above"
	}
	v.Text = fmt.Sprintf("linear probe: %s %.1f %% is %s %s %.1f %%", c.better, better.Linear, relation, c.worse, worse.Linear)
	if c.also != nil {
		shown, text := c.also(better, worse)
		v.Shown = v.Shown && shown
		if !shown {
			text = "and not: " + text
		}
		v.Text += ", " + text
	}
	if !v.Shown {
		v.Text += ": does not show at this scale"
	}
	for _, o := range outcomes {
		if o.Left != "" {
			v.Text += fmt.Sprintf("; %s left out", o.Variant)
		}
	}
	return v
}

// draw shows the accuracies: lines over sizes, bars otherwise.
func draw(path string, c claim, outcomes []outcome) error {
	if !c.logX {
		b := chart.Bars{Title: c.axis, YLabel: "top-1 accuracy, %", Series: []chart.BarSeries{{Name: "linear"}, {Name: "kNN"}}}
		for _, o := range outcomes {
			if o.Left == "" {
				b.Groups = append(b.Groups, o.Variant)
				b.Series[0].Values, b.Series[0].Err = append(b.Series[0].Values, o.Linear), append(b.Series[0].Err, (o.CI[1]-o.CI[0])/2)
				b.Series[1].Values, b.Series[1].Err = append(b.Series[1].Values, o.KNN), append(b.Series[1].Err, 0)
			}
		}
		return chart.WriteBars(path, b)
	}
	p := chart.Panel{Title: c.axis, XLabel: c.axis, YLabel: "linear probe, top-1 %", LogX: true}
	for i, v := range c.variants {
		if outcomes[i].Left != "" {
			continue
		}
		at := slices.IndexFunc(p.Lines, func(l chart.Line) bool { return l.Name == v.series })
		if at < 0 {
			at = len(p.Lines)
			p.Lines = append(p.Lines, chart.Line{Name: v.series})
		}
		l := &p.Lines[at]
		l.X, l.Y, l.Err = append(l.X, v.x), append(l.Y, outcomes[i].Linear), append(l.Err, (outcomes[i].CI[1]-outcomes[i].CI[0])/2)
	}
	return chart.WritePanels(path, []chart.Panel{p}, 1)
}
