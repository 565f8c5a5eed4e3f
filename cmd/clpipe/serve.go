package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"strings"

	"clpipe/augment"
	"clpipe/batch"
	"clpipe/batch/flight"
	"clpipe/contrast"
	"clpipe/ingest"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/spf13/cobra"
)

// tokenVariable holds what consumers must show. It is no flag: those are seen
// by every user of the machine.
const tokenVariable = "CLPIPE_FLIGHT_TOKEN"

// serveCommand serves images and pairs over Arrow Flight.
func serveCommand(std stdio, sig *signals) *cobra.Command {
	var job serveJob
	cmd := &cobra.Command{
		Use:   "serve --src URL",
		Short: "Serve images, pairs and embeddings over Arrow Flight",
		Long: `Serves the streams "images" and "pairs" of a source to any Arrow Flight client,
and with --run the "embeddings" that a trained encoder makes of the images, until
it is interrupted. A ticket is a JSON object:

  {"stream":"pairs","epochs":1,"rank":0,"world":1,"from":"0:0"}

of which all but the stream may be left out. Every consumer gets the whole
stream, or with rank and world a part that is disjoint from the other ranks'.
The action "stats" tells what has been sent.

If the environment variable ` + tokenVariable + ` is set, every call must carry it
in the header "authorization: Bearer TOKEN".`,
		Example: `  clpipe serve --src s3shards/ --policy moco-v2
  clpipe serve --src s3shards/ --run runs/first --features projection
  ` + tokenVariable + `=$(cat token) clpipe serve --src s3shards/ --listen 0.0.0.0:8815 --tls-cert cert.pem --tls-key key.pem`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			fs := cmd.Flags()
			if changed(fs, "rank") || changed(fs, "world") {
				return usagef("--rank and --world are the consumers' to choose: they stand in the ticket")
			}
			ctx, cancel := sig.stoppable(cmd.Context())
			defer cancel()
			return job.run(ctx, std)
		},
	}
	fs := cmd.Flags()
	job.common.add(fs)
	job.source.add(fs, true)
	fs.Lookup("rank").Hidden, fs.Lookup("world").Hidden = true, true // the tickets'
	job.views.add(fs)
	fs.IntVar(&job.rows, "batch", 256, "pairs in a record, fewer where they would take more than 1 GiB")
	fs.StringVar(&job.trained, "run", "", "run directory whose encoder makes the embeddings")
	fs.StringVar(&job.features, "features", "backbone", "embeddings: "+featuresHelp)
	fs.StringVar(&job.listen, "listen", "127.0.0.1:8815", "address to listen on; without a host it is this machine alone; port 0 takes a free one")
	fs.StringVar(&job.cert, "tls-cert", "", "PEM file of the certificate, for TLS")
	fs.StringVar(&job.key, "tls-key", "", "PEM file of the certificate's key")
	fs.IntVar(&job.consumers, "max-consumers", 8, "streams sent at once, each with buffers of its own")
	return cmd
}

// serveJob serves a source.
type serveJob struct {
	common    commonFlags
	source    sourceFlags
	views     viewFlags
	rows      int    // of a record of pairs
	trained   string // run directory; "": no embeddings
	features  string
	listen    string
	cert, key string
	consumers int

	log    *slog.Logger
	policy *augment.Policy
	embed  *embedding // nil: no embeddings
}

// run serves until ctx is cancelled.
func (j *serveJob) run(ctx context.Context, std stdio) error {
	var err error
	if j.log, err = j.common.log(std); err != nil {
		return err
	}
	if j.consumers < 1 {
		return usagef("--max-consumers is %d, want at least 1", j.consumers)
	}
	if j.rows < 1 {
		return usagef("--batch is %d, want at least 1", j.rows)
	}
	secure, err := j.tls()
	if err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(j.listen)
	if err != nil {
		return usagef("--listen is %q, want HOST:PORT: %w", j.listen, err)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	streams, err := j.streams(ctx)
	if err != nil {
		return err
	}
	var listener net.ListenConfig
	l, err := listener.Listen(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return err
	}
	token := os.Getenv(tokenVariable)
	if addr, err := netip.ParseAddrPort(l.Addr().String()); err != nil || !addr.Addr().IsLoopback() {
		if token == "" {
			j.log.Warn("whoever reaches this address can read the images: " + tokenVariable + " sets a token")
		} else if secure == nil {
			j.log.Warn("token and images travel in the clear: --tls-cert and --tls-key encrypt them")
		}
	}
	scheme := "grpc"
	if secure != nil {
		scheme = "grpc+tls"
	}
	if err := j.tell(std, scheme+"://"+l.Addr().String(), streams); err != nil {
		l.Close()
		return err
	}
	return flight.NewServer(flight.Config{
		Streams: streams, Token: token, TLS: secure, MaxConsumers: j.consumers, Log: j.log,
	}).Serve(ctx, l)
}

// tell says where what is served.
func (j *serveJob) tell(std stdio, address string, streams []flight.Stream) error {
	names := make([]string, len(streams))
	for i, s := range streams {
		names[i] = s.Name
	}
	if !j.common.json {
		_, err := fmt.Fprintf(std.out, "serving %s (pairs: %d px, %s) on %s\n", strings.Join(names, ", "), j.policy.Size(), j.views.policy, address)
		return err
	}
	return printJSON(std.out, map[string]any{"address": address, "streams": names, "policy": j.views.policy, "size": j.policy.Size()})
}

// tls returns what the certificate's flags ask for, nil if nothing.
func (j *serveJob) tls() (*tls.Config, error) {
	if j.cert == "" && j.key == "" {
		return nil, nil
	}
	if j.cert == "" || j.key == "" {
		return nil, usagef("--tls-cert and --tls-key belong together")
	}
	pair, err := tls.LoadX509KeyPair(j.cert, j.key)
	if err != nil {
		return nil, usagef("--tls-cert %s, --tls-key %s: %w", j.cert, j.key, err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}

// streams returns what can be asked for.
func (j *serveJob) streams(ctx context.Context) ([]flight.Stream, error) {
	src, err := j.open(ctx, flight.Ticket{Epochs: 1, World: 1}, &batch.Rejects{Max: 1}, true)
	if err != nil {
		return nil, err
	}
	bySize := func(size int) string {
		j.views.policy = contrast.PolicyFor(size)
		return j.views.policy
	}
	if j.policy, err = j.views.load(bySize, func() (int, error) { return shortSide(ctx, src) }); err != nil {
		return nil, err
	}
	out := []flight.Stream{{Name: "images", Stages: j.images, Run: j.watched}, {Name: "pairs", Stages: j.pairs, Run: j.watched}}
	if j.trained != "" {
		if j.embed, err = j.encoder(); err != nil {
			return nil, err
		}
		out = append(out, flight.Stream{Name: "embeddings", Stages: j.embeddings, Run: j.watched})
	}
	if err := j.keepWithin(src); err != nil {
		return nil, err
	}
	for i := range out {
		stages, err := out[i].Stages(ctx, flight.Ticket{Epochs: 1, World: 1})
		if err != nil {
			return nil, err
		}
		if out[i].Schema, err = announced(ctx, stages); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// keepWithin allows as many consumers as --mem has buffers for and holds Go's
// collector to it, the weights and every consumer's activations coming on top.
func (j *serveJob) keepWithin(src *ingest.Source) error {
	each := pairsOf(src, pairsInRecord(j.policy, j.rows, maxRecordBytes), j.policy)
	ceiling, err := j.common.fit(each)
	if err != nil || ceiling == 0 {
		return err
	}
	if most := int(ceiling / each.total()); most < j.consumers {
		j.log.Info("--mem has buffers for fewer streams at once than --max-consumers", "streams", most)
		j.consumers = most
	}
	fixed := int64(0)
	if j.embed != nil {
		embedder, err := j.embed.embedder()
		if err != nil {
			return err
		}
		fixed = j.embed.params.MemoryBytes() + int64(j.consumers)*embedder.MemoryBytes()
	}
	debug.SetMemoryLimit(ceiling + fixed)
	return nil
}

// watched runs the stages of a stream under the watchdog: a consumer that reads
// slowly is no stall, a source that gives nothing is.
func (j *serveJob) watched(ctx context.Context, out batch.Writer, stages []batch.Stage) error {
	p := j.common.pipeline(j.log)
	p.out = out
	for i, name := range []string{"ingest", "augment", "embed"}[:len(stages)] {
		p.add(name, stages[i]).WorkIsProgress = name == "embed"
	}
	return p.runStages(ctx)
}

// announced runs stages until the last announces its schema, and returns that.
func announced(ctx context.Context, stages []batch.Stage) (*arrow.Schema, error) {
	var schema *arrow.Schema
	err := batch.Run(ctx, streamDepth, nil, nil, append(stages, func(ctx context.Context, in batch.Reader, _ batch.Writer) (err error) {
		schema, err = in.Schema(ctx)
		return err
	})...)
	return schema, err
}

// open opens the source for a ticket.
func (j *serveJob) open(ctx context.Context, t flight.Ticket, rejects *batch.Rejects, encoded bool) (*ingest.Source, error) {
	cfg, err := j.source.ingestConfig(&j.common, rejects, j.log)
	if err != nil {
		return nil, err
	}
	cfg.Encoded, cfg.Offsets = encoded, encoded
	cfg.Epochs, cfg.From, cfg.World = t.Epochs, t.From, t.World
	if t.Rank != nil {
		cfg.Rank = *t.Rank
	}
	return openSource(ctx, cfg)
}

// read returns the stage that reads the source for a ticket, and the count of
// the damaged samples that its consumer meets.
func (j *serveJob) read(ctx context.Context, t flight.Ticket, encoded bool) (batch.Stage, *batch.Rejects, error) {
	rejects, err := j.source.namedRejects(j.log)
	if err != nil {
		return nil, nil, err
	}
	src, err := j.open(ctx, t, rejects, encoded)
	if err != nil {
		return nil, nil, err
	}
	return src.Stage(), rejects, nil
}

// images returns the stage of the stream of images.
func (j *serveJob) images(ctx context.Context, t flight.Ticket) ([]batch.Stage, error) {
	read, _, err := j.read(ctx, t, false)
	if err != nil {
		return nil, err
	}
	return []batch.Stage{read}, nil
}

// pairs returns the stages of the stream of pairs.
func (j *serveJob) pairs(ctx context.Context, t flight.Ticket) ([]batch.Stage, error) {
	read, rejects, err := j.read(ctx, t, true)
	if err != nil {
		return nil, err
	}
	augment, err := augmentStage(&j.common, &j.source, j.policy, pairsInRecord(j.policy, j.rows, maxRecordBytes), rejects, &j.common.seed)
	if err != nil {
		return nil, err
	}
	return []batch.Stage{read, augment}, nil
}

// encoder returns the way from images to embeddings.
func (j *serveJob) encoder() (*embedding, error) {
	output, ok := featureOutputs[j.features]
	if !ok {
		return nil, badFeatures(j.features)
	}
	m, err := loadModel(j.trained, "last")
	if err != nil {
		return nil, err
	}
	return &embedding{common: &j.common, source: &j.source, log: j.log, graph: m.graph, params: m.params, size: m.config.Encoder.Size, conv: m.config.Conv, output: output}, nil
}

// embeddings returns the stages of the stream of embeddings. Every consumer has
// activations of its own; the weights are shared.
func (j *serveJob) embeddings(ctx context.Context, t flight.Ticket) ([]batch.Stage, error) {
	read, rejects, err := j.read(ctx, t, true)
	if err != nil {
		return nil, err
	}
	policy, err := j.embed.policy()
	if err != nil {
		return nil, err
	}
	views, err := j.embed.views(policy, rejects)
	if err != nil {
		return nil, err
	}
	embedder, err := j.embed.embedder()
	if err != nil {
		return nil, err
	}
	return []batch.Stage{read, views, embedder.Stage}, nil
}
