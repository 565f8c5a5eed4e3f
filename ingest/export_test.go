package ingest

import (
	"context"
	"time"
)

// WithoutWaiting returns c with a clock that stands still between requests.
func (c Config) WithoutWaiting() Config {
	c.wait = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	return c
}
