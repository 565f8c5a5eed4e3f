package report

import (
	"encoding/json"
	"html/template"
	"maps"
	"slices"
	"strings"

	"clpipe/sink"
	"clpipe/sink/chart"
)

// curvePoints is the most points of a curve: of longer runs neighbouring entries
// are averaged.
const curvePoints = 400

// metrics are the numbers of metrics.jsonl, each with the steps it was logged at.
type metrics struct{ series map[string]*series }

// A series is one number over the steps.
type series struct{ steps, values, deviations []float64 }

// readMetrics reads the metrics of a run. Entries without a step are none.
func readMetrics(dir string) (*metrics, error) {
	m := &metrics{series: map[string]*series{}}
	return m, sink.ReadMetrics(dir, func(line []byte) error {
		var entry map[string]any
		if err := json.Unmarshal(line, &entry); err != nil {
			return err
		}
		if step, ok := entry["step"].(float64); ok {
			m.add(step, entry)
		}
		return nil
	})
}

func (m *metrics) add(step float64, entry map[string]any) {
	for name, value := range entry {
		if v, ok := value.(float64); ok {
			m.point(name, step, v)
		}
	}
	stages, _ := entry["stages"].(map[string]any)
	for stage, shares := range stages {
		if shares, ok := shares.(map[string]any); ok {
			if busy, ok := shares["busy"].(float64); ok {
				m.point(stagePrefix+stage, step, 100*busy)
			}
		}
	}
	if ci, ok := entry["knn_ci"].([]any); ok && len(ci) == 2 {
		low, _ := ci[0].(float64)
		high, _ := ci[1].(float64)
		knn := m.at("knn_top1")
		knn.deviations = append(knn.deviations, (high-low)/2)
	}
}

// stagePrefix begins the names of the stages' busy shares.
const stagePrefix = "stage "

func (m *metrics) at(name string) *series {
	s := m.series[name]
	if s == nil {
		s = &series{}
		m.series[name] = s
	}
	return s
}

func (m *metrics) point(name string, step, value float64) {
	s := m.at(name)
	s.steps, s.values = append(s.steps, step), append(s.values, value)
}

// last returns the newest value of a number.
func (m *metrics) last(name string) (float64, bool) {
	s := m.series[name]
	if s == nil || len(s.values) == 0 {
		return 0, false
	}
	return s.values[len(s.values)-1], true
}

// line returns a curve, its values times a factor.
func (m *metrics) line(name, label string, factor float64) chart.Line {
	s := m.series[name]
	if s == nil {
		return chart.Line{}
	}
	l := chart.Line{Name: label, Plain: len(s.values) > 20}
	group := (len(s.values) + curvePoints - 1) / curvePoints
	for i := 0; i < len(s.values); i += group {
		end := min(i+group, len(s.values))
		l.X = append(l.X, mean(s.steps[i:end]))
		l.Y = append(l.Y, factor*mean(s.values[i:end]))
	}
	if len(s.deviations) == len(l.X) {
		for _, d := range s.deviations {
			l.Err = append(l.Err, factor*d)
		}
	}
	return l
}

func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}

// draw returns the curves, empty before the first entry.
func (m *metrics) draw() (template.HTML, error) {
	panels := m.panels()
	if len(panels) == 0 {
		return "", nil
	}
	svg, err := chart.SVG(panels, 3)
	return template.HTML(svg), err
}

// panels are the diagrams of what was logged.
func (m *metrics) panels() []chart.Panel {
	all := []chart.Panel{
		{Title: "Loss", YLabel: "nats", Lines: []chart.Line{m.line("loss", "step", 1), m.line("epoch_loss", "mean of an epoch", 1)}},
		{Title: "Mutual information, lower bound", YLabel: "nats", Lines: []chart.Line{m.line("mi_bound_nats", "log(candidates) - loss", 1)}},
		{Title: "Positives above all negatives", YLabel: "%", Lines: []chart.Line{m.line("acc1", "all", 100), m.line("acc5", "all but four", 100)}},
		{Title: "kNN, validation set", YLabel: "top-1 %", Lines: []chart.Line{m.line("knn_top1", "95 % interval", 100)}},
		{Title: "Alignment and uniformity", Lines: []chart.Line{m.line("alignment", "alignment", 1), m.line("uniformity", "uniformity", 1)}},
		{Title: "Deviation of the embeddings", Lines: []chart.Line{m.line("embedding_std", "mean over dimensions", 1)}},
		{Title: "Learning rate", Lines: []chart.Line{m.line("lr", "", 1)}},
		{Title: "Speed", YLabel: "pairs/s", Lines: []chart.Line{m.line("pairs_per_s", "", 1)}},
		{Title: "Stages at work", YLabel: "% of the time", Lines: m.stages(), YMax: 105},
	}
	var drawn []chart.Panel
	for _, p := range all {
		p.Lines = slices.DeleteFunc(p.Lines, func(l chart.Line) bool { return len(l.X) == 0 })
		if p.XLabel, p.Legend = "step", len(p.Lines) > 1; len(p.Lines) > 0 {
			drawn = append(drawn, p)
		}
	}
	return drawn
}

// stages are the curves of the stages' busy shares.
func (m *metrics) stages() []chart.Line {
	var lines []chart.Line
	for _, name := range slices.Sorted(maps.Keys(m.series)) {
		if stage, ok := strings.CutPrefix(name, stagePrefix); ok {
			lines = append(lines, m.line(name, stage, 1))
		}
	}
	return lines
}
