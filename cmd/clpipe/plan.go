package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"clpipe/ingest"
	"clpipe/ingest/remote"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
)

// plan is what a run will read, hold and do, as far as it can be known before.
type plan struct {
	Shards     int            `json:"shards"`
	Bytes      int64          `json:"bytes"`
	Samples    *int64         `json:"samples"` // of an epoch, for this rank; nil: not known without reading
	Order      string         `json:"order"`   // "permutation", "buffer" or "sorted"
	Index      string         `json:"index"`
	Rank       int            `json:"rank"`
	World      int            `json:"world"`
	Batch      int            `json:"batch"`
	PerEpoch   int            `json:"steps_per_epoch"` // 0: not known
	LeftOut    int64          `json:"left_out"`        // samples of an epoch beyond its last whole batch
	Epochs     int            `json:"epochs"`          // 0: no limit but steps
	Steps      int            `json:"steps"`           // 0: not known
	Mixing     *ingest.Mixing `json:"mixing"`          // nil: the order is not known without reading
	Reads      ingest.Reads   `json:"reads"`
	Memory     planned        `json:"memory"`
	SecondsPer *float64       `json:"seconds_per_step,omitempty"` // with --measure
	Seconds    *float64       `json:"seconds,omitempty"`
}

// planned is memory in bytes.
type planned struct {
	Order       int64 `json:"order"`   // shuffle buffer, or what is read ahead by an index and the index
	Reading     int64 `json:"reading"` // of shards, ahead of their turn, and of images and records in work
	Records     int64 `json:"records"`
	Pairs       int64 `json:"pairs"`
	Ceiling     int64 `json:"ceiling"` // --mem, of those above; 0: not known
	Weights     int64 `json:"weights"` // values, gradients, momentum, momentum encoder
	Activations int64 `json:"activations"`
}

// planCommand tells what a run would do.
func planCommand(std stdio, sig *signals) *cobra.Command {
	var (
		flags   trainFlags
		measure bool
	)
	cmd := &cobra.Command{
		Use:   "plan --src URL",
		Short: "Tell what a run would read, hold and do, before it is started",
		Long: `Takes the options of the main job and tells, without training: how many samples
and steps an epoch has, how well it is shuffled, what is read, and what memory is
held by what. How well it is shuffled is found by going through the real order of
the first epoch without images; 100 % is as good as a full random permutation:

  displacement   how far samples move from where they lie among the shards
  neighbours     how far apart two samples come that lie side by side
  shards, classes   different ones in a batch, beside those of a permutation

--measure also runs a few steps on a scratch encoder, and tells the time of the run.`,
		Example: `  clpipe plan --src s3shards/
  clpipe plan --src s3shards/ --index auto --batch 512 --epochs 100
  clpipe plan --src s3shards/ --measure --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(flags.source.src) == 0 {
				return usagef("--src is missing: name a directory of shards, as in clpipe plan --src s3shards/")
			}
			ctx, cancel := sig.stoppable(cmd.Context())
			defer cancel()
			job := &trainJob{trainFlags: flags, fs: cmd.Flags(), std: std, sig: sig}
			p, err := job.plan(ctx, measure)
			if err != nil {
				return err
			}
			if flags.common.json {
				return printJSON(std.out, p)
			}
			return p.print(std.out)
		},
	}
	fs := cmd.Flags()
	flags.add(fs)
	fs.BoolVar(&measure, "measure", false, "run a few steps and tell how long the run takes")
	for _, name := range []string{"in", "run", "resume", "checkpoint-every", "keep", "val", "val-train", "eval-every", "budget"} {
		if err := fs.MarkHidden(name); err != nil {
			panic(err) // the flag was added above
		}
	}
	return cmd
}

// plan settles the run's configuration as training does and foresees it.
func (j *trainJob) plan(ctx context.Context, measure bool) (*plan, error) {
	var err error
	if j.log, err = j.common.log(j.std); err != nil {
		return nil, err
	}
	if j.rejects, err = j.trainFlags.source.rejects(); err != nil {
		return nil, err
	}
	_, inferred, err := j.initialWeights()
	if err != nil {
		return nil, err
	}
	if _, err := j.open(ctx, inferred); err != nil {
		return nil, err
	}
	if err := j.cfg.Validate(); err != nil {
		return nil, usageError{err}
	}
	cfg := j.source.Config()
	p := &plan{
		Order: "sorted", Index: remote.Redact(cfg.Index), Rank: cfg.Rank, World: cfg.World, Batch: j.cfg.Batch,
		PerEpoch: j.perEpoch, Epochs: j.cfg.Schedule.Epochs, Steps: j.cfg.Schedule.Steps, Reads: j.source.Reads(),
	}
	switch {
	case cfg.Shuffle && j.source.Permuted():
		p.Order = "permutation"
	case cfg.Shuffle:
		p.Order = "buffer"
	}
	for _, s := range j.source.Shards() {
		p.Shards++
		p.Bytes += s.Bytes
	}
	if n, known := j.source.EpochSamples(0); known {
		p.Samples, p.LeftOut = &n, n-int64(j.perEpoch*j.cfg.Batch)
	}
	m, known, err := j.source.Mixing(ctx, j.cfg.Batch)
	if err != nil {
		return nil, err
	}
	if known {
		p.Mixing = &m
	}
	if p.Memory, err = j.planMemory(); err != nil {
		return nil, err
	}
	if measure {
		err = j.planTime(ctx, p)
	}
	return p, err
}

// planMemory returns what the run holds.
func (j *trainJob) planMemory() (planned, error) {
	fixed, err := j.cfg.Memory()
	if err != nil {
		return planned{}, err
	}
	b := pairsOf(j.source, j.cfg.Batch, j.policy)
	ceiling, err := j.common.memoryCeiling()
	if err != nil {
		return planned{}, err
	}
	return planned{Order: b.shuffle, Reading: b.reading, Records: b.records, Pairs: b.pairs, Ceiling: ceiling, Weights: fixed.Weights, Activations: fixed.Activations}, nil
}

// planTime measures some steps.
func (j *trainJob) planTime(ctx context.Context, p *plan) error {
	if err := checkMemory(j.cfg); err != nil {
		return err
	}
	measured, err := j.timePerStep(ctx)
	if err != nil {
		return err
	}
	perStep := measured.Seconds()
	p.SecondsPer = &perStep
	if p.Steps > 0 {
		all := perStep * float64(p.Steps)
		p.Seconds = &all
	}
	return nil
}

// print prints a line a matter.
func (p *plan) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	size := func(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }
	samples := "an unknown number of samples (packed or remote shards: an index tells)"
	if p.Samples != nil {
		samples = humanize.Comma(*p.Samples) + " samples an epoch"
	}
	if p.World > 1 {
		samples += fmt.Sprintf(" for rank %d of %d", p.Rank, p.World)
	}
	fmt.Fprintf(w, "source\t%s, %s, %s\n", plural(p.Shards, "shard"), size(p.Bytes), samples)
	fmt.Fprintf(w, "order\t%s\n", map[string]string{
		"permutation": "a full random permutation of each epoch, by the index",
		"buffer":      "shards permuted, samples mixed in a buffer (--shuffle-buffer, --shuffle-bytes, --interleave)",
		"sorted":      "as the shards lie, sorted by name",
	}[p.Order])
	length := "not known beforehand"
	if p.PerEpoch > 0 {
		length = fmt.Sprintf("%s an epoch, %s left out", plural(p.PerEpoch, "step"), plural(int(p.LeftOut), "sample"))
	}
	if p.Steps > 0 {
		length += fmt.Sprintf("; %s steps in all", humanize.Comma(int64(p.Steps)))
	}
	if p.Epochs > 0 {
		length += fmt.Sprintf(", in %s", plural(p.Epochs, "epoch"))
	}
	fmt.Fprintf(w, "steps\t%s, of %d pairs\n", length, p.Batch)
	p.printMixing(w)
	p.printReads(w, size)
	m := p.Memory
	fmt.Fprintf(w, "memory\t%s for the order, %s for reading, %s for records of images, %s for pairs, of --mem %s\n", size(m.Order), size(m.Reading), size(m.Records), size(m.Pairs), size(m.Ceiling))
	if need := m.Order + m.Reading + m.Records + m.Pairs; m.Ceiling > 0 && need > m.Ceiling {
		fmt.Fprintf(w, "\ttoo much: raise --mem, or lower --shuffle-bytes, --workers, --interleave, --batch or --size\n")
	}
	fmt.Fprintf(w, "\t%s for weights, %s for activations beside that\n", size(m.Weights), size(m.Activations))
	if p.SecondsPer != nil {
		fmt.Fprintf(w, "time\t%.3g s a step", *p.SecondsPer)
		if p.Seconds != nil {
			fmt.Fprintf(w, ", %v for the run", time.Duration(*p.Seconds*float64(time.Second)).Round(time.Second))
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

func (p *plan) printMixing(w io.Writer) {
	if p.Mixing == nil {
		fmt.Fprintln(w, "shuffle\tnot known: the order depends on shards that would have to be unpacked or fetched; an index tells")
		return
	}
	m := p.Mixing
	fmt.Fprintf(w, "shuffle\tdisplacement %.0f %%, neighbours %.0f %%, %.1f shards in a batch of %.1f", 100*m.Displacement, 100*m.Neighbours, m.Shards, m.BestShards)
	if m.BestClasses > 0 {
		fmt.Fprintf(w, ", %.1f classes of %.1f", m.Classes, m.BestClasses)
	}
	fmt.Fprintln(w)
}

func (p *plan) printReads(w io.Writer, size func(int64) string) {
	r := p.Reads
	switch {
	case r.Bytes < 0:
		fmt.Fprintln(w, "reads\tfrom end to end, an unknown number of bytes")
	case r.Ranged:
		fmt.Fprintf(w, "reads\t%s by %s ranges an epoch, of which %s are images\n", size(r.Bytes), humanize.Comma(r.Requests), size(r.Wanted))
	case r.Requests < 0:
		fmt.Fprintf(w, "reads\t%s an epoch, shards from end to end\n", size(r.Bytes))
	default:
		fmt.Fprintf(w, "reads\t%s by %s requests an epoch, shards from end to end\n", size(r.Bytes), humanize.Comma(r.Requests))
	}
}
