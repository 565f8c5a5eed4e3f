package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"

	"clpipe/ingest"
	"clpipe/ingest/cache"
	"clpipe/ingest/remote"
	"clpipe/internal/imagecodec"
	"clpipe/internal/kernel"

	"github.com/dustin/go-humanize"
	"github.com/klauspost/cpuid/v2"
	"github.com/spf13/cobra"
)

// doctorCommand says what this program finds on this machine.
func doctorCommand(std stdio, sig *signals) *cobra.Command {
	var (
		common commonFlags
		source sourceFlags
	)
	cmd := &cobra.Command{
		Use:   "doctor [--src URL]",
		Short: "Say what this machine offers and what of it is used",
		Long: `Tells the processor and its vector instructions, the kernels and decoders
chosen, memory and disk, and with --src whether a source can be read and what it
holds. The exit code is 1 where something that was asked for does not work.`,
		Example: `  clpipe doctor
  clpipe doctor --src s3shards/ --json
  clpipe doctor --src s3shards/ --cache ./cache --cache-size 20GB`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := sig.stoppable(cmd.Context())
			defer cancel()
			found, err := examine(ctx, &common, &source, std)
			if err != nil {
				return err
			}
			if common.json {
				err = json.NewEncoder(std.out).Encode(found)
			} else {
				err = found.print(std)
			}
			return errors.Join(err, found.problem())
		},
	}
	common.add(cmd.Flags())
	source.add(cmd.Flags(), false)
	return cmd
}

// A diagnosis is what doctor finds.
type diagnosis struct {
	Version string `json:"clpipe"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`

	CPU      string   `json:"cpu"` // "" where the processor does not tell
	Cores    int      `json:"cores"`
	Workers  int      `json:"workers"` // goroutines that run at once
	Features []string `json:"features"`

	Kernel         string   `json:"kernel"`
	Kernels        []string `json:"kernels"` // that this machine can run, the slowest first
	Decoder        string   `json:"decoder"`
	DecoderKernels string   `json:"decoder_kernels"`

	MemoryBytes   int64  `json:"memory_bytes"` // the ceiling of --mem; 0: not known
	Directory     string `json:"directory"`
	DiskFreeBytes uint64 `json:"disk_free_bytes"`

	Cache    *cacheCheck   `json:"cache,omitempty"` // of --cache
	Sources  []sourceCheck `json:"sources"`
	Problems []string      `json:"problems"`
}

// A cacheCheck is what doctor finds of --cache.
type cacheCheck struct {
	Directory string `json:"directory"`
	Blocks    int    `json:"blocks"`
	Bytes     int64  `json:"bytes"`
	Limit     int64  `json:"limit"` // of --cache-size
}

// A sourceCheck is what doctor finds of one --src.
type sourceCheck struct {
	Source    string   `json:"source"` // without credentials
	Reachable bool     `json:"reachable"`
	Error     string   `json:"error,omitempty"`
	Shards    int      `json:"shards"`
	Bytes     int64    `json:"bytes"`
	Formats   []string `json:"formats"`
	Samples   int64    `json:"samples,omitempty"` // 0: not counted without unpacking
	Classes   []string `json:"classes,omitempty"`
	First     string   `json:"first,omitempty"` // id of the first image
	Image     string   `json:"image,omitempty"` // as "jpeg 32x32"
}

// examine looks at the machine and the sources. Its error is one of usage.
func examine(ctx context.Context, common *commonFlags, source *sourceFlags, std stdio) (*diagnosis, error) {
	d := &diagnosis{
		Version: version(), Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH,
		CPU: strings.TrimSpace(cpuid.CPU.BrandName), Cores: runtime.NumCPU(), Workers: runtime.GOMAXPROCS(0), Features: cpuid.CPU.FeatureSet(),
		Kernel: kernel.Selected(), Kernels: kernel.Variants(), Decoder: decoderName(), DecoderKernels: imagecodec.Kernels(),
		Sources: []sourceCheck{}, Problems: []string{},
	}
	var err error
	if d.MemoryBytes, err = common.memoryCeiling(); err != nil {
		return nil, err
	}
	if asked := os.Getenv("CLPIPE_KERNEL"); asked != "" && asked != d.Kernel {
		d.Problems = append(d.Problems, fmt.Sprintf("CLPIPE_KERNEL asks for the kernels %q, which this machine cannot run: it has %s", asked, strings.Join(d.Kernels, ", ")))
	}
	if d.Directory, err = os.Getwd(); err == nil {
		d.DiskFreeBytes, err = diskFree(d.Directory)
	}
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		d.Problems = append(d.Problems, fmt.Sprintf("free disk in the current directory: %v", err))
	}
	if source.cache != "" {
		if err := d.examineCache(source); err != nil {
			return nil, err
		}
	}
	for _, src := range source.src {
		check, err := examineSource(ctx, common, source, src, std)
		if err != nil {
			return nil, err
		}
		d.Sources = append(d.Sources, check)
		if check.Error != "" {
			d.Problems = append(d.Problems, fmt.Sprintf("%s: %s", check.Source, check.Error))
		}
	}
	return d, nil
}

// decoderName says what decodes JPEG files.
func decoderName() string {
	library, err := imagecodec.SystemDecoder()
	switch {
	case err == nil && imagecodec.Kernels() == "generic":
		return library + " for whole pictures of one scan, built in for the others"
	case err == nil:
		return "built in, which is faster here than " + library
	case errors.Is(err, imagecodec.ErrNoSystemTag):
		return "built in"
	}
	return fmt.Sprintf("built in (%v)", err)
}

// examineSource lists a source and looks at its first image.
func examineSource(ctx context.Context, common *commonFlags, flags *sourceFlags, src string, std stdio) (sourceCheck, error) {
	check := sourceCheck{Source: remote.Redact(src), Formats: []string{}}
	rejects, err := flags.rejects()
	if err != nil {
		return check, err
	}
	log, err := common.log(std)
	if err != nil {
		return check, err
	}
	cfg, err := flags.ingestConfig(common, rejects, log)
	if err != nil {
		return check, err
	}
	cfg.Sources, cfg.Encoded = []string{src}, true
	broken := func(err error) (sourceCheck, error) {
		check.Error = err.Error()
		return check, nil
	}
	source, err := openSource(ctx, cfg)
	if err != nil {
		return broken(err)
	}
	for _, s := range source.Shards() {
		check.Shards++
		check.Bytes += s.Bytes
		if !slices.Contains(check.Formats, s.Format) {
			check.Formats = append(check.Formats, s.Format)
		}
	}
	slices.Sort(check.Formats)
	check.Classes = source.Classes()
	n, known, err := source.Count(ctx)
	if err != nil {
		return broken(err)
	}
	if known {
		check.Samples = n
	}
	first, err := source.First(ctx)
	if err != nil {
		return broken(err)
	}
	check.First, check.Image = first.ID, fmt.Sprintf("%s %dx%d", first.Format, first.W, first.H)
	check.Reachable = true
	return check, nil
}

// problem is an error if something that was asked for does not work.
func (d *diagnosis) problem() error {
	if len(d.Problems) == 0 {
		return nil
	}
	return errors.New(strings.Join(d.Problems, "\nclpipe: "))
}

// vectorFeatures are the instructions that kernels of one kind or another are
// made of.
var vectorFeatures = []string{
	"SSE4", "SSE42", "AVX", "AVX2", "FMA3", "F16C", "BMI2", "AVX512F", "AVX512DQ", "AVX512BW", "AVX512VL", "AVX512VNNI", "AVX512BF16", "AMXBF16",
	"ASIMD", "ASIMDHP", "ASIMDDP", "SVE",
}

// examineCache looks at the folder of --cache, which is made if it is not there.
// Its error is one of usage.
func (d *diagnosis) examineCache(source *sourceFlags) error {
	var cfg ingest.Config
	if err := source.remote(&cfg); err != nil {
		return err
	}
	d.Cache = &cacheCheck{Directory: cfg.CacheDir, Limit: cfg.CacheBytes}
	kept, err := cache.Open(cfg.CacheDir, cfg.CacheBytes, slog.New(slog.DiscardHandler))
	var held cache.Usage
	if err == nil {
		held, err = kept.Usage()
	}
	if err != nil {
		d.Problems = append(d.Problems, err.Error())
	}
	d.Cache.Blocks, d.Cache.Bytes = held.Blocks, held.Bytes
	return nil
}

// print prints the diagnosis for people.
func (d *diagnosis) print(std stdio) error {
	w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) { fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	line("clpipe", "%s, %s, %s/%s", d.Version, d.Go, d.OS, d.Arch)
	cpu := d.CPU
	if cpu == "" {
		cpu = "unnamed"
	}
	line("processor", "%s, %s, %s", cpu, plural(d.Cores, "core"), plural(d.Workers, "worker"))
	var features []string
	for _, f := range vectorFeatures {
		if slices.Contains(d.Features, f) {
			features = append(features, f)
		}
	}
	line("instructions", "%s", strings.Join(features, " "))
	line("kernels", "%s, of %s", d.Kernel, strings.Join(d.Kernels, ", "))
	line("decoder", "JPEG %s, %s; PNG, WebP built in", d.Decoder, d.DecoderKernels)
	memory := "not known"
	if d.MemoryBytes > 0 {
		memory = "up to " + humanize.IBytes(uint64(d.MemoryBytes)) + " for buffers (--mem)"
	}
	line("memory", "%s", memory)
	if d.DiskFreeBytes > 0 {
		line("disk", "%s free in %s", humanize.IBytes(d.DiskFreeBytes), d.Directory)
	}
	if c := d.Cache; c != nil {
		line("cache", "%s of up to %s in %s, %s", humanize.IBytes(uint64(c.Bytes)), humanize.IBytes(uint64(c.Limit)), c.Directory, plural(c.Blocks, "block"))
	}
	for _, s := range d.Sources {
		if !s.Reachable {
			line("source", "%s: %s", s.Source, s.Error)
			continue
		}
		samples := "samples not counted"
		if s.Samples > 0 {
			samples = plural(int(s.Samples), "sample")
		}
		line("source", "%s: %s in %s of %s, %s; the first image is %s, %s", s.Source, samples, plural(s.Shards, "file"),
			strings.Join(s.Formats, ", "), humanize.IBytes(uint64(s.Bytes)), s.First, s.Image)
	}
	return w.Flush()
}
