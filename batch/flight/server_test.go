package flight_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"clpipe/batch"
	"clpipe/batch/flight"

	"github.com/apache/arrow/go/v15/arrow"
	arrowflight "github.com/apache/arrow/go/v15/arrow/flight"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	side  = 8
	total = 12 // rows of an epoch
)

var errStage = errors.New("the disk is on fire")

// streams are pairs in records of two rows, and streams that fail after one.
// made counts the records of all.
func streams(mem memory.Allocator, made *atomic.Int64) []flight.Stream {
	schema := batch.PairsSchema(batch.Metadata{batch.KeySeed: "7"}, 2, side, side, 3)
	pairs := func(_ context.Context, t flight.Ticket) ([]batch.Stage, error) {
		if t.World > 3 {
			return nil, fmt.Errorf("3 shards for %d ranks", t.World)
		}
		rank := 0
		if t.Rank != nil {
			rank = *t.Rank
		}
		return []batch.Stage{func(ctx context.Context, _ batch.Reader, out batch.Writer) error {
			if err := out.Open(ctx, schema); err != nil {
				return err
			}
			for epoch := uint32(0); t.Epochs == 0 || int(epoch) < t.Epochs; epoch++ {
				var rows []int
				for i := rank; i < total; i += t.World {
					if !(batch.Position{Epoch: epoch, Index: uint64(i)}).Before(t.From) {
						rows = append(rows, i)
					}
				}
				for two := range slices.Chunk(rows, 2) {
					made.Add(1)
					if err := out.Write(ctx, pairsOf(mem, schema, epoch, two)); err != nil {
						return err
					}
				}
			}
			return nil
		}}, nil
	}
	failing := func(err error) func(context.Context, flight.Ticket) ([]batch.Stage, error) {
		return func(ctx context.Context, t flight.Ticket) ([]batch.Stage, error) {
			stages, _ := pairs(ctx, t)
			return append(stages, func(ctx context.Context, in batch.Reader, out batch.Writer) error {
				schema, err2 := in.Schema(ctx)
				if err2 == nil {
					err2 = out.Open(ctx, schema)
				}
				if err2 != nil {
					return err2
				}
				rec, err2 := in.Read(ctx)
				if err2 == nil {
					err2 = out.Write(ctx, rec)
				}
				if err2 != nil {
					return err2
				}
				return err
			}), nil
		}
	}
	return []flight.Stream{
		{Name: "pairs", Schema: schema, Stages: pairs},
		{Name: "failing", Schema: schema, Stages: failing(errStage)},
		{Name: "rejected", Schema: schema, Stages: failing(fmt.Errorf("%w: 7 of 12", batch.ErrTooManyRejects))},
	}
}

// pairsOf is a record of the rows with these places in an epoch.
func pairsOf(mem memory.Allocator, schema *arrow.Schema, epoch uint32, places []int) arrow.Record {
	b := batch.NewPairsBuilder(mem, schema, len(places))
	for row, i := range places {
		b.SetRow(row, batch.Row{ID: fmt.Sprint(i), Epoch: epoch, Index: uint64(i)})
		for view := range b.Views() {
			pix := b.View(view, row)
			for j := range pix {
				pix[j] = byte(i + view + j)
			}
		}
	}
	return b.NewRecord(nil)
}

// serve starts a server on memory and returns a client of it and the cancellation
// that ends Serve, which must return context.Canceled.
func serve(t *testing.T, cfg flight.Config) (c arrowflight.Client, server *flight.Server, stop func()) {
	l := bufconn.Listen(64 << 10)
	server = flight.NewServer(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error)
	go func() { served <- server.Serve(ctx, l) }()
	c, err := arrowflight.NewClientWithMiddleware("passthrough:bufconn", nil, nil,
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-served; !errors.Is(err, context.Canceled) {
			t.Errorf("Serve: got %v, want context canceled", err)
		}
	}
	t.Cleanup(func() { c.Close(); stop() })
	return c, server, stop
}

// get returns the ids and epochs of a ticket's rows and how the stream ended.
func get(ctx context.Context, c arrowflight.Client, ticket string) (rows []string, err error) {
	stream, err := c.DoGet(ctx, &arrowflight.Ticket{Ticket: []byte(ticket)})
	if err != nil {
		return nil, err
	}
	r, err := arrowflight.NewRecordReader(stream)
	if err != nil {
		return nil, err
	}
	defer r.Release()
	for {
		rec, err := r.Read()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return rows, err
		}
		ids, err := check(rec)
		rows = append(rows, ids...)
		if err != nil {
			return rows, err
		}
	}
}

// check returns a record's rows as EPOCH:ID, if its pixels are those of streams.
func check(rec arrow.Record) (rows []string, err error) {
	p, err := batch.NewPairs(rec)
	if err != nil {
		return nil, err
	}
	if seed, ok := batch.SeedOf(rec.Schema()); !ok || seed != 7 {
		return nil, fmt.Errorf("seed %d, %v, want 7", seed, ok)
	}
	size := side * side * 3
	for i := range p.Len() {
		index, _ := p.Index(i)
		rows = append(rows, fmt.Sprintf("%d:%s", p.Epoch(i), p.ID(i)))
		for j := range size {
			if a, b := p.Anchor[i*size+j], p.Positive[i*size+j]; a != byte(int(index)+j) || b != byte(int(index)+1+j) {
				return rows, fmt.Errorf("row %s: byte %d is %d and %d", p.ID(i), j, a, b)
			}
		}
	}
	return rows, nil
}

func TestTicketsSelect(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	var made atomic.Int64
	c, server, stop := serve(t, flight.Config{Streams: streams(mem, &made), Mem: mem})
	for _, want := range []struct {
		ticket string
		rows   string
	}{
		{`{"stream":"pairs"}`, "0:0 0:1 0:2 0:3 0:4 0:5 0:6 0:7 0:8 0:9 0:10 0:11"},
		{`{"stream":"pairs","world":3,"rank":0}`, "0:0 0:3 0:6 0:9"},
		{`{"stream":"pairs","world":3,"rank":1}`, "0:1 0:4 0:7 0:10"},
		{`{"stream":"pairs","world":3,"rank":2}`, "0:2 0:5 0:8 0:11"},
		{`{"stream":"pairs","epochs":2,"from":"0:8","world":3,"rank":2}`, "0:8 0:11 1:2 1:5 1:8 1:11"},
		{`{"stream":"pairs","epochs":1,"from":"7:0"}`, ""},
	} {
		rows, err := get(t.Context(), c, want.ticket)
		if err != nil || strings.Join(rows, " ") != want.rows {
			t.Errorf("%s: got %v, %v, want %s", want.ticket, rows, err, want.rows)
		}
	}
	stop()
	got := server.Stats().Streams["pairs"]
	if got.Opened != 6 || got.Consumers != 0 || got.Rows != 30 || got.Records != 15 || got.Bytes < 30*2*side*side*3 {
		t.Errorf("stats: got %+v, want 6 opened, 0 consumers, 30 rows in 15 records", got)
	}
}

func TestWhatIsRefused(t *testing.T) {
	var made atomic.Int64
	c, _, _ := serve(t, flight.Config{Streams: streams(memory.DefaultAllocator, &made)})
	for _, want := range []struct {
		ticket string
		code   codes.Code
		text   string
	}{
		{``, codes.InvalidArgument, "want an object"},
		{`pairs`, codes.InvalidArgument, "want an object"},
		{`{"stream":"pairs"} {}`, codes.InvalidArgument, "something follows"},
		{`{"stream":"pairs","shard":3}`, codes.InvalidArgument, `unknown field "shard"`},
		{`{"stream":"pears"}`, codes.NotFound, `no stream "pears", want pairs or failing or rejected`},
		{`{"stream":"pairs","epochs":-1}`, codes.InvalidArgument, "epochs: got -1"},
		{`{"stream":"pairs","from":"5"}`, codes.InvalidArgument, "EPOCH:INDEX"},
		{`{"stream":"pairs","world":0}`, codes.InvalidArgument, "world: got 0"},
		{`{"stream":"pairs","world":1000000000}`, codes.InvalidArgument, "world: got 1000000000"},
		{`{"stream":"pairs","world":2,"rank":2}`, codes.InvalidArgument, "rank: got 2, want 0 to 1"},
		{`{"stream":"pairs","world":2}`, codes.InvalidArgument, "no rank"},
		{`{"stream":"pairs","world":4,"rank":0}`, codes.InvalidArgument, "3 shards for 4 ranks"},
		{`{"stream":"failing"}`, codes.Internal, errStage.Error()},
		{`{"stream":"rejected"}`, codes.DataLoss, "7 of 12"},
	} {
		_, err := get(t.Context(), c, want.ticket)
		if status.Code(err) != want.code || !strings.Contains(fmt.Sprint(err), want.text) {
			t.Errorf("%s: got %v, want %v: %s", want.ticket, err, want.code, want.text)
		}
	}
}

func TestFlightInfo(t *testing.T) {
	var made atomic.Int64
	c, _, _ := serve(t, flight.Config{Streams: streams(memory.DefaultAllocator, &made)})
	list, err := c.ListFlights(t.Context(), &arrowflight.Criteria{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for {
		info, err := list.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, info.FlightDescriptor.Path[0])
		schema, err := arrowflight.DeserializeSchema(info.Schema, memory.DefaultAllocator)
		if err != nil {
			t.Fatal(err)
		}
		if got := batch.ViewShape(schema); !slices.Equal(got, []int{side, side, 3}) {
			t.Errorf("%s: views of %v, want [%d %d 3]", names, got, side, side)
		}
	}
	if want := []string{"pairs", "failing", "rejected"}; !slices.Equal(names, want) {
		t.Errorf("flights %v, want %v", names, want)
	}

	// The endpoints of a world without a rank share the stream.
	info, err := c.GetFlightInfo(t.Context(), &arrowflight.FlightDescriptor{Type: arrowflight.DescriptorCMD, Cmd: []byte(`{"stream":"pairs","world":3,"from":"0:0"}`)})
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, e := range info.Endpoint {
		part, err := get(t.Context(), c, string(e.Ticket.Ticket))
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, part...)
	}
	slices.Sort(rows)
	if rows = slices.Compact(rows); len(info.Endpoint) != 3 || len(rows) != total {
		t.Errorf("%d endpoints with %d different rows, want 3 with %d", len(info.Endpoint), len(rows), total)
	}
	for _, d := range []*arrowflight.FlightDescriptor{{}, {Type: arrowflight.DescriptorPATH}, {Type: arrowflight.DescriptorPATH, Path: []string{"pairs", "x"}}} {
		if _, err := c.GetFlightInfo(t.Context(), d); status.Code(err) != codes.InvalidArgument {
			t.Errorf("descriptor %v: got %v, want InvalidArgument", d, err)
		}
	}
}

func TestStatsAction(t *testing.T) {
	var made atomic.Int64
	c, _, _ := serve(t, flight.Config{Streams: streams(memory.DefaultAllocator, &made)})
	if _, err := get(t.Context(), c, `{"stream":"pairs"}`); err != nil {
		t.Fatal(err)
	}
	answer, err := c.DoAction(t.Context(), &arrowflight.Action{Type: "stats"})
	if err != nil {
		t.Fatal(err)
	}
	result, err := answer.Recv()
	if err != nil {
		t.Fatal(err)
	}
	var stats flight.Stats
	if err := json.Unmarshal(result.Body, &stats); err != nil {
		t.Fatal(err)
	}
	if got := stats.Streams["pairs"]; got.Rows != total || stats.UptimeSeconds <= 0 {
		t.Errorf("got %s, want %d rows and an uptime", result.Body, total)
	}
	if answer, err = c.DoAction(t.Context(), &arrowflight.Action{Type: "reset"}); err == nil {
		_, err = answer.Recv()
	}
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("action reset: got %v, want InvalidArgument", err)
	}
}

func TestToken(t *testing.T) {
	var made atomic.Int64
	c, _, _ := serve(t, flight.Config{Streams: streams(memory.DefaultAllocator, &made), Token: "secret"})
	for header, want := range map[string]codes.Code{
		"":              codes.Unauthenticated,
		"Bearer wrong":  codes.Unauthenticated,
		"secret":        codes.Unauthenticated,
		"Bearer secret": codes.OK,
	} {
		ctx := t.Context()
		if header != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", header)
		}
		_, err := get(ctx, c, `{"stream":"pairs"}`)
		if status.Code(err) != want || err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("DoGet with %q: got %v, want %v", header, err, want)
		}
		_, err = c.GetSchema(ctx, &arrowflight.FlightDescriptor{Type: arrowflight.DescriptorPATH, Path: []string{"pairs"}})
		if status.Code(err) != want {
			t.Errorf("GetSchema with %q: got %v, want %v", header, err, want)
		}
	}
}

// TestSlowConsumer reads an endless stream for a while: the stages are never
// far ahead of it, and end when it leaves.
func TestSlowConsumer(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	var made atomic.Int64
	c, server, stop := serve(t, flight.Config{Streams: streams(mem, &made), Mem: mem, MaxConsumers: 1})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := c.DoGet(ctx, &arrowflight.Ticket{Ticket: []byte(`{"stream":"pairs","epochs":0}`)})
	if err != nil {
		t.Fatal(err)
	}
	// HTTP/2's window of 64 KiB and the connection's buffers of as much each way
	// hold what the stages may be ahead, at 800 bytes a record and some framing.
	const ahead = 4 * (64 << 10) / 800
	for n := range int64(3 * ahead) {
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
		if got := made.Load(); got > n+ahead {
			t.Fatalf("%d records were made when %d had been read, want at most %d more", got, n, ahead)
		}
	}
	if _, err := get(t.Context(), c, `{"stream":"pairs"}`); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a second consumer: got %v, want ResourceExhausted", err)
	}
	cancel()
	for err == nil {
		_, err = stream.Recv()
	}
	stop()
	if got := server.Stats().Streams["pairs"].Consumers; got != 0 {
		t.Errorf("%d consumers after the last has left, want 0", got)
	}
}

// TestStoppedStreamIsNoWhole stops the server under a consumer.
func TestStoppedStreamIsNoWhole(t *testing.T) {
	var made atomic.Int64
	c, _, stop := serve(t, flight.Config{Streams: streams(memory.DefaultAllocator, &made)})
	stream, err := c.DoGet(t.Context(), &arrowflight.Ticket{Ticket: []byte(`{"stream":"pairs","epochs":0}`)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	stop()
	for err == nil {
		_, err = stream.Recv()
	}
	if errors.Is(err, io.EOF) {
		t.Error("the stream ends as if it were complete")
	}
}
