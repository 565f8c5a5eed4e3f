package flight

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	"clpipe/batch"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/flight"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// A Stream is what consumers can ask for by name.
type Stream struct {
	Name   string
	Schema *arrow.Schema // as the stages announce it
	// Stages returns the stages of which the last makes what the ticket asks
	// for. An error says that the ticket cannot be served. It is called by
	// several goroutines at once.
	Stages func(ctx context.Context, t Ticket) ([]batch.Stage, error)
	// Run runs these stages into out, as a watchdog may; nil is batch.Run.
	Run func(ctx context.Context, out batch.Writer, stages []batch.Stage) error
}

// Config says what is served and to whom.
type Config struct {
	Streams []Stream
	// Token, if there is one, must come with every call, as the header
	// "authorization: Bearer TOKEN".
	Token string
	// TLS is nil for connections in the clear.
	TLS *tls.Config
	// MaxConsumers is how many streams are sent at once, each with the memory
	// of its stages; default 8.
	MaxConsumers int
	// Mem is where records come from; default Go's memory.
	Mem memory.Allocator
	// Log receives a line a stream; nil drops them.
	Log *slog.Logger
}

// streamDepth is how many records wait between two stages, as in one process.
const streamDepth = 2

// maxRequest bounds a request in bytes: tickets are short.
const maxRequest = 64 << 10

// A Server serves streams over Arrow Flight.
type Server struct {
	cfg   Config
	grpc  *grpc.Server
	free  chan struct{} // a token for every consumer under way
	stats map[string]*counters
	since time.Time
}

// NewServer returns a server that Serve starts.
func NewServer(cfg Config) *Server {
	if cfg.MaxConsumers == 0 {
		cfg.MaxConsumers = 8
	}
	if cfg.Mem == nil {
		cfg.Mem = memory.DefaultAllocator
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{cfg: cfg, free: make(chan struct{}, cfg.MaxConsumers), stats: map[string]*counters{}, since: time.Now()}
	for _, stream := range cfg.Streams {
		s.stats[stream.Name] = &counters{}
	}
	opts := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxRequest),
		grpc.WaitForHandlers(true),
		// A consumer whose machine has gone must not hold its stages for ever.
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: 20 * time.Second}),
		grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			if err := s.authorize(ctx); err != nil {
				return nil, err
			}
			return handle(ctx, req)
		}),
		grpc.StreamInterceptor(func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
			if err := s.authorize(stream.Context()); err != nil {
				return err
			}
			return handle(srv, stream)
		}),
	}
	if cfg.TLS != nil {
		opts = append(opts, grpc.Creds(credentials.NewTLS(cfg.TLS)))
	}
	s.grpc = grpc.NewServer(opts...)
	flight.RegisterFlightServiceServer(s.grpc, &service{server: s})
	return s
}

// Serve serves the connections of l, which it closes, until ctx is cancelled.
// Then the streams under way end with an error, so that no consumer takes its
// part for the whole, and Serve returns the context's error.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, s.grpc.Stop)
	defer stop()
	err := s.grpc.Serve(l)
	s.grpc.Stop() // waits for the handlers, also where it was called before
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("batch/flight: serve: %w", err)
	}
	return nil
}

// authorize wants the token of the configuration.
func (s *Server) authorize(ctx context.Context) error {
	if s.cfg.Token == "" {
		return nil
	}
	md, _ := metadata.FromIncomingContext(ctx)
	for _, got := range md.Get("authorization") {
		if subtle.ConstantTimeCompare([]byte(got), []byte("Bearer "+s.cfg.Token)) == 1 {
			return nil
		}
	}
	return status.Error(codes.Unauthenticated, `the call carries no valid token: send the header "authorization: Bearer TOKEN"`)
}

// stream returns the stream of a name.
func (s *Server) stream(name string) (Stream, error) {
	at := slices.IndexFunc(s.cfg.Streams, func(st Stream) bool { return st.Name == name })
	if at < 0 {
		return Stream{}, status.Errorf(codes.NotFound, "there is no stream %.80q, want %s", name, s.names())
	}
	return s.cfg.Streams[at], nil
}

func (s *Server) names() string {
	text := ""
	for i, st := range s.cfg.Streams {
		if i > 0 {
			text += " or "
		}
		text += st.Name
	}
	return text
}

// send runs the stages of a ticket and sends their records to a consumer.
func (s *Server) send(ctx context.Context, t Ticket, to flight.DataStreamWriter) error {
	stream, err := s.stream(t.Stream)
	if err != nil {
		return err
	}
	if t.Rank == nil && t.World > 1 {
		return status.Errorf(codes.InvalidArgument, "the ticket has a world of %d and no rank: name one, or take the endpoints that GetFlightInfo lists", t.World)
	}
	select {
	case s.free <- struct{}{}:
		defer func() { <-s.free }()
	default:
		return status.Errorf(codes.ResourceExhausted, "%d consumers are served already, as many as are allowed", s.cfg.MaxConsumers)
	}
	stages, err := stream.Stages(ctx, t)
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	count := s.stats[t.Stream]
	count.opened.Add(1)
	count.consumers.Add(1)
	defer count.consumers.Add(-1)
	log := s.cfg.Log.With("ticket", string(t.Bytes()))
	log.Info("a consumer has come")

	w := &writer{to: to, mem: s.cfg.Mem, count: count}
	run := stream.Run
	if run == nil {
		run = func(ctx context.Context, out batch.Writer, stages []batch.Stage) error {
			return batch.Run(ctx, streamDepth, nil, out, stages...)
		}
	}
	if err = run(ctx, w, stages); err == nil {
		err = w.finish()
	}
	switch {
	case ctx.Err() != nil:
		log.Info("a consumer has left before the end", "rows", w.rows)
		return status.FromContextError(ctx.Err()).Err()
	case errors.Is(err, batch.ErrTooManyRejects):
		log.Error("a stream failed", "error", err)
		return status.Error(codes.DataLoss, err.Error())
	case err != nil:
		log.Error("a stream failed", "error", err)
		return status.Error(codes.Internal, err.Error())
	}
	log.Info("a stream is complete", "rows", w.rows)
	return nil
}
