package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"

	"clpipe/sink"
	"clpipe/sink/live"

	"golang.org/x/sync/errgroup"
)

// liveRun is a run directory whose metrics a live page shows as well.
type liveRun struct {
	*sink.Run
	page *live.Server
}

// Log adds an object to the metrics.
func (r liveRun) Log(entry any) error {
	if err := r.page.Record(entry); err != nil {
		return err
	}
	return r.Run.Log(entry)
}

// listenLive takes the address of --listen, if there is one, for the page of a run.
func listenLive(addr, run string, log *slog.Logger) (*live.Server, error) {
	if addr == "" {
		return nil, nil
	}
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return nil, usagef("--listen is %q, want HOST:PORT: %w", addr, err)
	}
	page, err := live.Listen(addr, run)
	if err != nil {
		return nil, fmt.Errorf("--listen %s: %w", addr, err)
	}
	log.Info("live page", "url", "http://"+page.Addr().String()+"/")
	return page, nil
}

// besideLive runs f while the page, if there is one, is served.
func besideLive(ctx context.Context, page *live.Server, f func(context.Context) error) error {
	if page == nil {
		return f(ctx)
	}
	serving, stop := context.WithCancel(ctx)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return page.Serve(serving) })
	g.Go(func() error { defer stop(); return f(ctx) })
	return g.Wait()
}
