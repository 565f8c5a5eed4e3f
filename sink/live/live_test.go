package live

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestPageMetricsAndProfiles(t *testing.T) {
	defer http.DefaultClient.CloseIdleConnections()
	dir := t.TempDir()
	s, err := Listen("127.0.0.1:0", dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	root := "http://" + s.Addr().String()

	if code, text := get(t, root+"/"); code != 500 || !strings.Contains(text, "no run directory") {
		t.Errorf("before there is a run: %d %q", code, text)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte("lr: 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, text := get(t, root+"/"); code != 200 || !strings.Contains(text, `http-equiv="refresh"`) {
		t.Errorf("the page: %d %q", code, text)
	}
	for _, loss := range []float64{8, 7.5} {
		entry := map[string]any{"loss": loss, "step": 3, "note": "no number", "stages": map[string]any{"train": map[string]any{"busy": 0.5}}}
		if err := s.Record(entry); err != nil {
			t.Fatal(err)
		}
	}
	_, text := get(t, root+"/metrics")
	for _, want := range []string{"\nclpipe_loss 7.5\n", "\nclpipe_step 3\n", "\nclpipe_stages_train_busy 0.5\n", "\ngo_goroutines "} {
		if !strings.Contains(text, want) {
			t.Errorf("/metrics has no %q", want)
		}
	}
	for path, want := range map[string]int{"/debug/pprof/": 200, "/debug/pprof/goroutine": 200, "/debug/pprof/cmdline": 200, "/absent": 404} {
		if code, _ := get(t, root+path); code != want {
			t.Errorf("%s: %d, want %d", path, code, want)
		}
	}
	if _, err := Listen(s.Addr().String(), dir); err == nil {
		t.Error("an address that is taken: no error")
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("the server ended with %v", err)
	}
}
