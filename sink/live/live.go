// Package live shows a run under way over HTTP: its report, which loads itself
// anew, its numbers for Prometheus, and Go's profiles.
package live

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"sync"
	"time"

	"clpipe/sink/report"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	// refresh is how often the page loads itself anew.
	refresh = 10 * time.Second
	// headerTimeout bounds a request whose header does not come.
	headerTimeout = 10 * time.Second
)

// A Server shows the run of a directory.
type Server struct {
	dir      string
	listener net.Listener
	registry *prometheus.Registry

	mu     sync.Mutex // guards what follows
	gauges map[string]prometheus.Gauge
}

// Listen takes an address, as "127.0.0.1:6060" or ":0" for any free port, for the
// run of a directory, which need not be there yet.
func Listen(addr, dir string) (*Server, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("live: %w", err)
	}
	s := &Server{dir: dir, listener: listener, registry: prometheus.NewRegistry(), gauges: map[string]prometheus.Gauge{}}
	s.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return s, nil
}

// Addr is the address that the server listens on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Record takes the numbers of an object that goes to metrics.jsonl over as
// gauges, clpipe_loss of its field loss; those in objects below it with the
// names joined, clpipe_stages_train_busy.
func (s *Server) Record(entry any) error {
	text, err := json.Marshal(entry)
	if err != nil {
		return err
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.set("clpipe", fields)
}

func (s *Server) set(prefix string, fields map[string]any) error {
	for name, value := range fields {
		name = prefix + "_" + name
		switch v := value.(type) {
		case float64:
			gauge := s.gauges[name]
			if gauge == nil {
				gauge = prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: "As in metrics.jsonl."})
				if err := s.registry.Register(gauge); err != nil {
					return fmt.Errorf("live: %w", err)
				}
				s.gauges[name] = gauge
			}
			gauge.Set(v)
		case map[string]any:
			if err := s.set(name, v); err != nil {
				return err
			}
		}
	}
	return nil
}

// Serve answers requests until the context ends.
func (s *Server) Serve(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.page)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: headerTimeout}
	closing := context.AfterFunc(ctx, func() { server.Close() })
	defer closing()
	if err := server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("live: %w", err)
	}
	return nil
}

// Close gives the address back, of a server that does not serve.
func (s *Server) Close() error { return s.listener.Close() }

func (s *Server) page(w http.ResponseWriter, _ *http.Request) {
	var page bytes.Buffer
	if err := report.Write(&page, s.dir, refresh); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	page.WriteTo(w) // a browser that went away has its answer
}
