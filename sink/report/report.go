// Package report draws a run directory as one HTML file that needs nothing
// beside it: figures, curves of the metrics, settings, rejected samples and
// pictures. It reads a run that is still under way as it reads one that has
// ended.
package report

import (
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"clpipe/batch"
	"clpipe/sink"

	"github.com/dustin/go-humanize"
	"gopkg.in/yaml.v3"
)

//go:embed page.html
var pageSource string

var page = template.Must(template.New("report").Parse(pageSource))

const (
	// shownRejects are the rejected samples that the page names; it counts all.
	shownRejects = 100
	// largestPicture bounds the PNGs of the directory that the page holds.
	largestPicture = 16 << 20
)

// A figure is a number that the page begins with.
type figure struct{ Name, Value, Note string }

// A setting is a line of the resolved configuration.
type setting struct{ Name, Value string }

// A picture is a PNG of the run directory.
type picture struct {
	Name string
	URL  template.URL
}

// pageData is what the page shows.
type pageData struct {
	Name, State string
	Refresh     int // seconds, 0: never
	Figures     []figure
	Curves      template.HTML
	Pictures    []picture
	Settings    []setting
	Rejected    int
	Rejects     []batch.Reject
	Digests     *sink.Digests
	Versions    []setting
}

// Write draws the run in a directory. With refresh the page asks a browser to
// load it anew after that time, for a run under way. It fails if the directory is
// not that of a run, or cannot be read.
func Write(w io.Writer, dir string, refresh time.Duration) error {
	data, err := read(dir)
	if err != nil {
		return fmt.Errorf("report: %s: %w", dir, err)
	}
	data.Refresh = int(refresh / time.Second)
	return page.Execute(w, data)
}

func read(dir string) (*pageData, error) {
	config, err := os.ReadFile(filepath.Join(dir, sink.ConfigFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("there is no %s: it is no run directory, name one that clpipe train has written", sink.ConfigFile)
	}
	if err != nil {
		return nil, err
	}
	name, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	data := &pageData{Name: filepath.Base(name)}
	if data.Settings, err = settings(config); err != nil {
		return nil, fmt.Errorf("%s: %w", sink.ConfigFile, err)
	}
	m, err := readMetrics(dir)
	if err != nil {
		return nil, err
	}
	if data.Curves, err = m.draw(); err != nil {
		return nil, err
	}
	rejects, err := sink.ReadRejects(dir)
	if err != nil {
		return nil, err
	}
	for _, r := range rejects {
		data.Rejected += max(r.Lost, 1)
	}
	data.Rejects = rejects[:min(len(rejects), shownRejects)]
	summary, err := sink.ReadSummary(dir)
	if err != nil {
		return nil, err
	}
	if step, ok := m.last("step"); ok && summary != nil && step > float64(summary.Steps) {
		summary = nil // that of an earlier session: the run has gone on since
	}
	data.State, data.Figures = state(summary), figures(m, summary, data)
	if summary != nil {
		data.Digests = &summary.Digests
		for _, k := range slices.Sorted(maps.Keys(summary.Versions)) {
			data.Versions = append(data.Versions, setting{k, summary.Versions[k]})
		}
	}
	data.Pictures, err = pictures(dir)
	return data, err
}

// settings are the lines of a configuration, sorted by name.
func settings(config []byte) ([]setting, error) {
	var values map[string]any
	if err := yaml.Unmarshal(config, &values); err != nil {
		return nil, err
	}
	var out []setting
	for _, name := range slices.Sorted(maps.Keys(values)) {
		text, plain := values[name].(string)
		if !plain {
			written, err := yaml.Marshal(values[name])
			if err != nil {
				return nil, err
			}
			text = strings.TrimSpace(string(written))
		}
		out = append(out, setting{name, text})
	}
	return out, nil
}

func state(s *sink.Summary) string {
	switch {
	case s == nil:
		return "under way, or killed"
	case s.Finished:
		return "finished"
	}
	return "interrupted: train --resume goes on"
}

// figures are what one looks for first.
func figures(m *metrics, s *sink.Summary, data *pageData) []figure {
	var out []figure
	add := func(name, format string, v float64, note string) {
		out = append(out, figure{name, fmt.Sprintf(format, v), note})
	}
	if s != nil {
		add("steps", "%.0f", float64(s.Steps), fmt.Sprintf("%.4g epochs, %s samples", s.Epochs, humanize.Comma(s.Samples)))
		out = append(out, figure{"time", time.Duration(s.WallSeconds * float64(time.Second)).Round(time.Second).String(), "of training"})
	} else if v, ok := m.last("step"); ok {
		add("steps", "%.0f", v, "")
	}
	if v, ok := m.last("loss"); ok {
		add("loss", "%.4g", v, "nats")
	}
	if v, ok := m.last("acc1"); ok {
		add("contrast", "%.1f %%", 100*v, "of positives above all negatives")
	}
	if v, ok := m.last("knn_top1"); ok {
		add("kNN", "%.1f %%", 100*v, "of the validation set")
	}
	if v, ok := m.last("pairs_per_s"); ok {
		add("speed", "%.0f", v, "pairs/s")
	}
	add("rejected", "%.0f", float64(data.Rejected), "samples")
	return out
}

// pictures are the PNGs that lie in the directory: contact sheets, comparisons.
func pictures(dir string) ([]picture, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []picture
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".png" {
			continue
		}
		if info, err := e.Info(); err != nil || info.Size() > largestPicture {
			continue // it went away, or would make the page too large
		}
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		out = append(out, picture{e.Name(), template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(content))})
	}
	return out, nil
}
