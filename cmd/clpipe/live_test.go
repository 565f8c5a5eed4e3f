package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"clpipe/sink"
)

// The page is there while the run is, shows what the run logs, and ends with it;
// what is reported is the run's own error.
func TestLivePageBesideARun(t *testing.T) {
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
	page, err := listenLive("127.0.0.1:0", dir, log)
	if err != nil {
		t.Fatal(err)
	}
	run, err := sink.OpenRun(dir, sink.Options{Config: []byte("lr: 0.25\n")})
	if err != nil {
		t.Fatal(err)
	}
	defer run.Close()
	defer http.DefaultClient.CloseIdleConnections()
	get := func(path string) string {
		t.Helper()
		resp, err := http.Get("http://" + page.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s %v", path, resp.Status, err)
		}
		return string(text)
	}
	broken := errors.New("the run broke")
	err = besideLive(t.Context(), page, func(context.Context) error {
		if err := (liveRun{run, page}).Log(map[string]any{"step": 7, "loss": 1.5}); err != nil {
			return err
		}
		if text := get("/"); !strings.Contains(text, "<pre>0.25</pre>") || !strings.Contains(text, "<b>1.5</b>") {
			t.Errorf("the page has not the run's settings and loss: %s", text)
		}
		if text := get("/metrics"); !strings.Contains(text, "\nclpipe_loss 1.5\n") {
			t.Errorf("no loss in %s", text)
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
	if _, err := http.Get("http://" + page.Addr().String() + "/"); err == nil {
		t.Error("the page outlives the run")
	}
}
