package report

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"clpipe/sink/chart"
)

// runOf writes the files of a run directory.
func runOf(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "run[1]")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func written(t *testing.T, dir string, refresh time.Duration) string {
	t.Helper()
	var page strings.Builder
	if err := Write(&page, dir, refresh); err != nil {
		t.Fatal(err)
	}
	return page.String()
}

const (
	entries = `{"step":10,"epoch":0,"loss":8.5,"acc1":0.25,"lr":0.06,"alignment":0.5,"stages":{"train":{"busy":0.75}}}
{"step":20,"epoch":0,"loss":7.25,"acc1":0.5,"lr":0.03,"alignment":0.4,"stages":{"train":{"busy":0.5}}}
{"step":20,"epoch":0,"epoch_loss":7.9,"epoch_steps":20,"knn_top1":0.315,"knn_ci":[0.305,0.325]}
`
	rejects = `{"shard":"a.tar","key":"<script>","offset":512,"what":"decode","why":"no JPEG","lost":1}
{"shard":"b.tar","key":"7","offset":1024,"what":"read","why":"the shard ends early","lost":41}
`
	summary = `{"digests":{"order":"0a1b","weights":"2c3d"},"steps":20,"epochs":1,"samples":12345,"rejected":42,"comparable":true,"finished":true,"wall_seconds":90,"versions":{"kernel":"avx2"}}`
)

func TestPageOfAFinishedRun(t *testing.T) {
	dir := runOf(t, map[string]string{
		"config.yaml": "log-every: \"5\"\nlr: 0.06\nsrc:\n  - set/*.tar\n", "metrics.jsonl": entries, "rejected.jsonl": rejects, "summary.json": summary, "pairs.png": "a picture",
	})
	page := written(t, dir, 0)
	for _, want := range []string{
		"<h1>run[1]</h1>", "finished", "<b>7.25</b>", "<b>50.0 %</b>", "<b>31.5 %</b>", "<b>1m30s</b>", "12,345 samples", "Rejected samples: 42",
		"a.tar/&lt;script&gt;@512: decode: no JPEG", "<svg", "Learning rate", "Stages at work", "<pre>5</pre>", "- set/*.tar", "0a1b", "avx2",
		"data:image/png;base64," + base64.StdEncoding.EncodeToString([]byte("a picture")),
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	for _, unwanted := range []string{"<script>", "<?xml", "http-equiv", "Speed", "href=", "src=\"http"} {
		if strings.Contains(page, unwanted) {
			t.Errorf("the page has %q", unwanted)
		}
	}
}

func TestPageOfARunUnderWay(t *testing.T) {
	dir := runOf(t, map[string]string{"config.yaml": "lr: 0.06\n", "metrics.jsonl": entries + `{"step":30,"lo`})
	page := written(t, dir, 10*time.Second)
	for _, want := range []string{"under way, or killed", `http-equiv="refresh" content="10"`, "<b>20</b>"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	resumed := map[string]string{"config.yaml": "lr: 0.06\n", "metrics.jsonl": entries, "summary.json": strings.Replace(summary, `"steps":20`, `"steps":15`, 1)}
	if page := written(t, runOf(t, resumed), 0); !strings.Contains(page, "under way, or killed") || strings.Contains(page, "0a1b") {
		t.Error("a resumed run has the summary of its first session")
	}
	if page := written(t, runOf(t, map[string]string{"config.yaml": ""}), 0); !strings.Contains(page, "Nothing is logged yet") {
		t.Error("a run without metrics does not say so")
	}
}

func TestNoRunDirectory(t *testing.T) {
	for name, dir := range map[string]string{"it is no run directory": t.TempDir(), "config.yaml": runOf(t, map[string]string{"config.yaml": "a: ["})} {
		if err := Write(&strings.Builder{}, dir, 0); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want an error that names %q", err, name)
		}
	}
}

func TestCurvesOfLongRuns(t *testing.T) {
	m := &metrics{series: map[string]*series{}}
	for i := range 10 * curvePoints {
		m.point("loss", float64(i), float64(i%10))
	}
	l := m.line("loss", "", 2)
	if len(l.X) != curvePoints || l.X[0] != 4.5 || l.Y[0] != 9 || l.Y[curvePoints-1] != 9 {
		t.Errorf("%d points, the first at %g: %g; want %d, 4.5: 9", len(l.X), l.X[0], l.Y[0], curvePoints)
	}
	if got := m.line("absent", "", 1); got.X != nil || len(m.panels()) != 1 {
		t.Errorf("a number that was not logged has the curve %+v, and there are %d diagrams", got, len(m.panels()))
	}
}

func TestDeviationsOfKNN(t *testing.T) {
	dir := runOf(t, map[string]string{"metrics.jsonl": entries})
	m, err := readMetrics(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := chart.Line{Name: "x", X: []float64{20}, Y: []float64{31.5}, Err: []float64{1}}
	if got := m.line("knn_top1", "x", 100); got.X[0] != want.X[0] || got.Y[0] != want.Y[0] || len(got.Err) != 1 || got.Err[0] < 0.99 || got.Err[0] > 1.01 {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
