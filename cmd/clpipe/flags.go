package main

import (
	"fmt"
	"log/slog"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"clpipe/batch"
	"clpipe/contrast"
	"clpipe/encoder"
	"clpipe/ingest"
	"clpipe/ingest/cache"
	"clpipe/ingest/remote"
	"clpipe/internal/kernel"

	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/dustin/go-humanize"
	"github.com/spf13/pflag"
)

// commonFlags are those of every command that works for a while.
type commonFlags struct {
	config       string
	json, quiet  bool
	logLevel     string
	seed         uint64
	workers      int
	mem          string
	stallTimeout time.Duration
	stall        *pflag.Flag // of --stall-timeout: whether it was given counts too; nil: no such option
}

func (c *commonFlags) add(fs *pflag.FlagSet) {
	c.addOutput(fs)
	c.addStages(fs)
}

// addStages adds what every command has that runs stages.
func (c *commonFlags) addStages(fs *pflag.FlagSet) {
	c.addWorkers(fs)
	c.addSeed(fs)
	fs.StringVar(&c.mem, "mem", "", "ceiling over streams, shuffle and decode buffers, as 2GiB (default half the memory)")
	c.addStall(fs)
}

func (c *commonFlags) addStall(fs *pflag.FlagSet) {
	fs.DurationVar(&c.stallTimeout, "stall-timeout", 2*time.Minute, "give up after so long without progress; a wait for another process to write is then only reported unless this is given")
	c.stall = fs.Lookup("stall-timeout")
}

func (c *commonFlags) addSeed(fs *pflag.FlagSet) {
	fs.Uint64Var(&c.seed, "seed", 1, "decides order, views and initial weights")
}

// addOutput adds what every command has that prints results.
func (c *commonFlags) addOutput(fs *pflag.FlagSet) {
	c.addLog(fs)
	fs.BoolVar(&c.json, "json", false, "print results as JSON, one object a line")
}

// addLog adds what every command has.
func (c *commonFlags) addLog(fs *pflag.FlagSet) {
	fs.StringVar(&c.config, "config", "", "YAML file of options, by name; the command line wins")
	fs.BoolVar(&c.quiet, "quiet", false, "no progress, only warnings and errors")
	fs.StringVar(&c.logLevel, "log-level", "info", "debug, info, warn or error")
}

func (c *commonFlags) addWorkers(fs *pflag.FlagSet) {
	fs.IntVar(&c.workers, "workers", 0, "worker goroutines (0: one for each processor); changes no result")
}

// log returns the logger of warnings.
func (c *commonFlags) log(std stdio) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.logLevel)); err != nil {
		return nil, usagef("--log-level is %q, want debug, info, warn or error", c.logLevel)
	}
	if c.quiet {
		level = max(level, slog.LevelWarn)
	}
	plain := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	return slog.New(slog.NewTextHandler(std.err, &slog.HandlerOptions{Level: level, ReplaceAttr: plain})), nil
}

// sourceFlags say what is read and in which order.
type sourceFlags struct {
	src           []string
	shuffle       bool
	shuffleBuffer int
	shuffleBytes  string
	interleave    int
	limit         int
	rank, world   int
	maxRejects    string
	maxPixels     string
	exifTranspose bool
	from          string
	noSignRequest bool
	index         string
	tail          string
	cache         string
	cacheSize     string
}

func (s *sourceFlags) add(fs *pflag.FlagSet, shuffle bool) {
	s.addSrc(fs)
	fs.BoolVar(&s.shuffle, "shuffle", shuffle, "permute shards and samples")
	fs.IntVar(&s.shuffleBuffer, "shuffle-buffer", ingest.DefaultShuffleBuffer, "samples shuffled among each other")
	fs.StringVar(&s.shuffleBytes, "shuffle-bytes", "512MiB", "bytes of images shuffled among each other, at most; decides the order as --shuffle-buffer does")
	fs.IntVar(&s.interleave, "interleave", ingest.DefaultInterleave, "shards read at once")
	fs.IntVar(&s.limit, "limit", 0, "samples of an epoch (0: all)")
	rank, world, _ := launched(os.Getenv)
	fs.IntVar(&s.rank, "rank", rank, "part of the stream for this process; known from torchrun, mpirun or srun")
	fs.IntVar(&s.world, "world", world, "number of processes that share the stream; likewise")
	fs.StringVar(&s.index, "index", ingest.NoIndex, "read each epoch in a full permutation by an index (see shards index): a FILE or URL, auto (the one beside the shards), off; shuffle buffer and interleave then play no part")
	tail := "keep"
	if shuffle {
		tail = "drop"
	}
	fs.StringVar(&s.tail, "tail", tail, "of several processes: drop what is over at an epoch's end, so that all have equally many samples, or keep it")
	s.addLimits(fs)
	s.addExif(fs)
}

// ofSource are options that say nothing of a stream, which is read as it comes.
var ofSource = []string{"shuffle", "shuffle-buffer", "shuffle-bytes", "interleave", "limit", "rank", "world", "index", "tail", "from"}

// needSource refuses those of a command that reads a stream, and more of its own.
// What a --config file says may be meant for other commands.
func needSource(fs *pflag.FlagSet, more ...string) error {
	for _, name := range slices.Concat(ofSource, more) {
		if typed(fs, name) {
			return usagef("--%s is about --src: a stream is read as it comes, so give it to whoever writes the stream", name)
		}
	}
	return nil
}

// needEpochs refuses a beginning behind the last of so many epochs; 0 is no limit.
func needEpochs(from batch.Position, epochs int) error {
	if epochs > 0 && int64(from.Epoch) >= int64(epochs) {
		return usagef("--from is %v, and --epochs %d ends before it: epochs count from 0:0 on; give --epochs 0 for no end", from, epochs)
	}
	return nil
}

func (s *sourceFlags) addSrc(fs *pflag.FlagSet) {
	fs.StringArrayVar(&s.src, "src", nil, "`URL` to read: directory, file, train-{000000..000009}.tar, glob, s3://bucket/prefix, https://…, - (standard input); repeatable")
	s.addRemote(fs)
}

// addRemote adds what is about sources on other machines.
func (s *sourceFlags) addRemote(fs *pflag.FlagSet) {
	fs.BoolVar(&s.noSignRequest, "no-sign-request", false, "ask s3:// without credentials, for public buckets")
	fs.StringVar(&s.cache, "cache", "", "folder that keeps what was read of s3:// and https://, for the next epoch and run (default none)")
	fs.StringVar(&s.cacheSize, "cache-size", "50GB", "bytes in that folder, at most")
}

// whole returns the options for reading all of a source that is not --src: order,
// part and index are those of --src.
func (s sourceFlags) whole() sourceFlags {
	s.shuffle, s.from, s.limit, s.rank, s.world, s.index = false, "", 0, 0, 1, ""
	return s
}

// names returns what --src names, without credentials and queries.
func (s *sourceFlags) names() string {
	names := make([]string, len(s.src))
	for i, src := range s.src {
		names[i] = remote.Redact(src)
	}
	return strings.Join(names, " ")
}

func (s *sourceFlags) addLimits(fs *pflag.FlagSet) {
	fs.StringVar(&s.maxRejects, "max-rejects", "1%", "tolerated share of damaged samples")
	s.addMaxPixels(fs)
}

func (s *sourceFlags) addExif(fs *pflag.FlagSet) {
	fs.BoolVar(&s.exifTranspose, "exif-transpose", false, "turn images upright, as their EXIF data say (encoded/1 stays as it is)")
}

func (s *sourceFlags) addMaxPixels(fs *pflag.FlagSet) {
	fs.StringVar(&s.maxPixels, "max-pixels", "128Mi", "largest image decoded, width times height")
}

// namedRejects is rejects, with each sample named in a log.
func (s *sourceFlags) namedRejects(log *slog.Logger) (*batch.Rejects, error) {
	rejects, err := s.rejects()
	if err != nil {
		return nil, err
	}
	rejects.Log = nameIn(log)
	return rejects, nil
}

// nameIn names damaged samples in a log.
func nameIn(log *slog.Logger) func(batch.Reject) error {
	return func(r batch.Reject) error { log.Warn("rejected " + r.Error()); return nil }
}

// rejects returns the counter of damaged samples.
func (s *sourceFlags) rejects() (*batch.Rejects, error) {
	text, percent := strings.CutSuffix(s.maxRejects, "%")
	share, err := strconv.ParseFloat(text, 64)
	if percent {
		share /= 100
	}
	if err != nil || !(share >= 0 && share <= 1) {
		return nil, usagef("--max-rejects is %q, want a share as 1%% or 0.01", s.maxRejects)
	}
	return &batch.Rejects{Max: share}, nil
}

func (s *sourceFlags) pixels() (int64, error) {
	n, err := humanize.ParseBytes(s.maxPixels) // the same suffixes, of pixels
	if err != nil || n < 1 || n > 1<<40 {
		return 0, usagef("--max-pixels is %q, want a number of pixels as 128Mi", s.maxPixels)
	}
	return int64(n), nil
}

// readsPerStall is how many connections to a remote file may stall one after
// the other before the run itself counts as stalled.
const readsPerStall = 4

// ingestConfig returns the configuration of the source stage.
func (s *sourceFlags) ingestConfig(c *commonFlags, rejects *batch.Rejects, log *slog.Logger) (ingest.Config, error) {
	pixels, err := s.pixels()
	if err != nil {
		return ingest.Config{}, err
	}
	var shuffleBytes uint64
	if s.shuffleBytes != "" {
		if shuffleBytes, err = humanize.ParseBytes(s.shuffleBytes); err != nil || shuffleBytes < 1 || shuffleBytes > 1<<50 {
			return ingest.Config{}, usagef("--shuffle-bytes is %q, want a size as 512MiB", s.shuffleBytes)
		}
	}
	cfg := ingest.Config{
		ShuffleBytes: int64(shuffleBytes), Sources: s.src, Seed: c.seed, Shuffle: s.shuffle, ShuffleBuffer: s.shuffleBuffer, Interleave: s.interleave,
		Limit: s.limit, Rank: s.rank, World: s.world, Workers: c.workers, MaxPixels: pixels, ExifTranspose: s.exifTranspose,
		Rejects: rejects, Mem: memory.DefaultAllocator, Log: log,
		StallTimeout: c.stallTimeout / readsPerStall,
		Index:        s.index, KeepTail: s.tail == "keep",
	}
	if err := s.remote(&cfg); err != nil {
		return cfg, err
	}
	if s.tail != "drop" && s.tail != "keep" && s.tail != "" {
		return cfg, usagef("--tail is %q, want drop or keep", s.tail)
	}
	if s.index == ingest.NoIndex && s.shuffle {
		s.tellOfIndex(log)
	}
	if s.from != "" {
		if cfg.From, err = batch.ParsePosition(s.from); err != nil {
			return cfg, usagef("--from: %w", err)
		}
	}
	return cfg, nil
}

// addIndexThere adds --index where an index changes no order: one beside local
// shards is used unasked.
func (s *sourceFlags) addIndexThere(fs *pflag.FlagSet) {
	fs.StringVar(&s.index, "index", "", "index of the shards: a FILE or URL, auto (the one beside them), off (default auto where one lies beside local shards)")
}

// indexThere returns --index of addIndexThere.
func (s *sourceFlags) indexThere() string {
	if s.index != "" {
		return s.index
	}
	if slices.ContainsFunc(s.src, func(source string) bool { return !indexBeside(source) }) {
		return ingest.NoIndex
	}
	return ingest.AutoIndex
}

// indexBeside tells whether an index lies beside local shards.
func indexBeside(source string) bool {
	if source == "-" || strings.Contains(source, "://") {
		return false
	}
	_, err := os.Stat(ingest.IndexPlace(source))
	return err == nil
}

// tellOfIndex says that there is an index which is not used.
func (s *sourceFlags) tellOfIndex(log *slog.Logger) {
	for _, source := range s.src {
		if indexBeside(source) {
			log.Info("an index lies beside the shards: --index auto reads them in a full permutation", "src", source)
		}
	}
}

// remote puts into cfg what is about sources on other machines.
func (s *sourceFlags) remote(cfg *ingest.Config) error {
	cfg.NoSignRequest, cfg.CacheDir = s.noSignRequest, s.cache
	if s.cacheSize == "" { // a command without the flag
		return nil
	}
	size, err := humanize.ParseBytes(s.cacheSize)
	if err != nil || size < cache.MinBytes || size > 1<<60 {
		return usagef("--cache-size is %q, want a size as 50GB, at least %s", s.cacheSize, humanize.IBytes(cache.MinBytes))
	}
	cfg.CacheBytes = int64(size)
	return nil
}

// viewFlags say how views are made.
type viewFlags struct {
	policy     string
	size       int
	fastDecode bool
	localCrops int
	localSize  int
}

func (v *viewFlags) add(fs *pflag.FlagSet) {
	fs.StringVar(&v.policy, "policy", "", "augmentation: moco-v1 moco-v2 moco-cifar moco-v3 simclr cpc cpc-v1 cpc-v2 amdim dim supervised none, or a YAML file (default the method's)")
	fs.IntVar(&v.size, "size", 0, "side of a view in pixels (default 32, 64 or 224, by the first image)")
	fs.IntVar(&v.localCrops, "local-crops", 0, "further views of each image, smaller and of 0.05 to 0.14 of it, with views up to 96 px of 0.14 to 0.4 (multi-crop); the two of the pair stay as they are")
	fs.IntVar(&v.localSize, "local-size", 0, "side of those in pixels (default 3/7 of the view's, up to 96 px half of it)")
	fs.BoolVar(&v.fastDecode, "fast-decode", false, "decode JPEGs at 1/2, 1/4 or 1/8, as libjpeg does, where the crops of all views leave enough pixels; makes other pixels, saves little: a sixth of the work with photos of 2.5 Mpixel for 224 px, nothing with ImageNet's; entropy decoding stays")
}

// methodFlags say what is trained and how. Where one is not given, the
// method's own value holds.
type methodFlags struct {
	method, preset        string
	encoder, head         string
	width                 float64
	batch, queue, dim     int
	temperature, momentum float64
	momentumSchedule      string
	learnTemperature      bool
	symmetric             bool
	queueInit             string
	maskSameID            bool
	splitBN               int
	lr, weightDecay       float64
	clipNorm              float64
	optimizer, schedule   string
	warmup, warmupEpochs  int
	ema                   float64
	chunk                 int
	epochs, steps         int
	normalize, conv       string
	init                  string
	depth                 int
	estimator, objective  string
	critic, bound         string
	boundAlpha            float64
	hidden                int
	prior                 float64
	coordinates           string
	occlude               float64
	directions            int
	mixture               int
	mixtureSharpness      float64
	mixtureEntropy        float64
	logEvery              int
}

func (m *methodFlags) add(fs *pflag.FlagSet) {
	fs.StringVar(&m.method, "method", "moco", "moco (moco-cifar for views up to 96 px, else moco-v2), moco-v1, moco-v2, moco-cifar, moco-v3, infonce (negatives in the batch), simclr, cpc, dim, amdim; supervised, on labels, to compare with")
	fs.StringVar(&m.preset, "preset", "", "small (fits two cores) or paper (published sizes) (default small up to 96 px)")
	fs.StringVar(&m.encoder, "encoder", "", "resnet18, resnet50, resnet18-cifar, resnet50-cifar (default the method's)")
	fs.Float64Var(&m.width, "width", 0, "multiplier of the encoder's channels (default the method's)")
	fs.StringVar(&m.head, "head", "", "projection head: linear, mlp, mlp-bn (SimCLR's, with batch normalisation), none (default the method's)")
	fs.IntVar(&m.batch, "batch", 0, "pairs per step (default the method's)")
	fs.IntVar(&m.chunk, "chunk", 0, "pairs that go through simclr's network at once: each goes forward twice, and memory is for one chunk; batch statistics are those of a chunk (0: the whole batch)")
	fs.IntVar(&m.queue, "queue", 0, "keys in the queue of negatives (default the method's)")
	fs.IntVar(&m.dim, "dim", 0, "size of the embedding, in amdim of the maps' cells, in supervised the number of classes (default the method's)")
	fs.Float64Var(&m.temperature, "temperature", 0, "tau, by which logits are divided (default the method's)")
	fs.BoolVar(&m.learnTemperature, "learn-temperature", false, "train tau too, of moco, infonce and simclr, at a rate of at most 0.01; 1/tau stays below 100")
	fs.Float64Var(&m.momentum, "momentum", 0, "m of the key encoder (default the method's)")
	fs.StringVar(&m.momentumSchedule, "momentum-schedule", "", "constant, or cosine: m rises to 1 over the run (default the method's)")
	fs.BoolVar(&m.symmetric, "symmetric", false, "train both directions of a pair")
	fs.StringVar(&m.queueInit, "queue-init", "random", "the queue before the first step: random unit vectors, or empty")
	fs.BoolVar(&m.maskSameID, "mask-same-id", true, "a sample's own old keys are no negatives for it")
	fs.IntVar(&m.splitBN, "split-bn", 0, "groups of batch statistics, keys shuffled between them; 1 is plain (default the method's)")
	fs.Float64Var(&m.lr, "lr", 0, "learning rate (default the method's, scaled by the batch unless it is Adam's)")
	fs.Float64Var(&m.weightDecay, "weight-decay", 0, "weight decay (default the method's)")
	fs.StringVar(&m.optimizer, "optimizer", "", "sgd, lars (in SimCLR's form for simclr, solo-learn's for moco-v3 up to 96 px, else MoCo v3's), adam, adamw; brings its own --lr and --weight-decay, lars also a warm-up (default the method's)")
	fs.Float64Var(&m.clipNorm, "clip-norm", 0, "largest norm of the gradients of each network; longer ones are scaled down to it, 0 leaves them")
	fs.StringVar(&m.schedule, "schedule", "", "cosine, step or constant (default the method's)")
	fs.IntVar(&m.warmup, "warmup", 0, "steps over which the learning rate rises from 0 (default the method's, at most a tenth of the run)")
	fs.IntVar(&m.warmupEpochs, "warmup-epochs", 0, "the same in epochs, where --warmup is 0: at most a tenth of the run, and that tenth where --steps or --budget alone say how long it is (default the method's)")
	fs.Float64Var(&m.ema, "ema", 0, "keep an average of the encoder's weights, which keeps this share of itself at a step, as 0.999, less in the beginning; see embed --weights (0: none)")
	fs.IntVar(&m.epochs, "epochs", 0, "length of the run in epochs (default the method's)")
	fs.IntVar(&m.steps, "steps", 0, "length of the run in steps")
	fs.StringVar(&m.normalize, "normalize", "", "imagenet, cifar10, none, or six numbers: means and deviations of R,G,B (default the method's)")
	fs.StringVar(&m.conv, "conv", "auto", "convolution algorithm: auto, direct, f2")
	fs.StringVar(&m.init, "init", "", "initial weights: a safetensors file under torchvision's names, which decides encoder and width, and the head too unless --head, --dim or --hidden ask for another one, which then starts anew")
	fs.IntVar(&m.depth, "depth", 0, "blocks of a stage, of cpc and amdim (default the method's)")
	fs.StringVar(&m.estimator, "estimator", "", "bound of dim: jsd, nce, dv (default jsd)")
	fs.StringVar(&m.objective, "dim-objective", "", "what dim scores codes against: local (cells), global (the whole map), both; brings its own --prior (default local)")
	fs.StringVar(&m.critic, "critic", "", "form of the scores: of infonce cosine, dot, bilinear or mlp, of simclr not mlp, of moco cosine or bilinear; all but cosine start at --temperature 1; of dim dot (encode-and-dot) or convolve (concat-and-convolve) (default cosine, of dim dot)")
	fs.StringVar(&m.bound, "bound", "", "bound on mutual information that infonce trains: nce, nwj, tuba, dv, jsd, ialpha; tuba and ialpha learn a baseline; nwj and tuba start at --temperature 1, with --critic dot at the root of dim; these and dv at --clip-norm 1 (default nce)")
	fs.Float64Var(&m.boundAlpha, "bound-alpha", 0, "alpha of --bound ialpha, from 0 (tuba) to 1 (nce without the positive) (default 0.01)")
	fs.IntVar(&m.hidden, "hidden", 0, "width of the hidden layer of an MLP head, in dim of its encoders for the scores (default the method's; 0: that of the features, in moco-v3 twice that)")
	fs.Float64Var(&m.prior, "prior", 0, "weight of dim's prior matching (default the objective's)")
	fs.StringVar(&m.coordinates, "coordinates", "", "what dim predicts besides from cells and code: none, absolute (a cell's row and column), relative (those from another cell to it), both (default none)")
	fs.Float64Var(&m.occlude, "occlude", 0, "side of a square that is hidden from dim's global path, as a share of the image's, as 0.5; cells see all (0: nothing is hidden)")
	fs.IntVar(&m.directions, "directions", 0, "ways that cpc's predictions go over the grid: 1 down, 2 up too, 4 right and left too (default the preset's)")
	fs.IntVar(&m.mixture, "mixture", 0, "components of amdim's mixture, which together predict the 7×7 map in place of one global vector (0: none)")
	fs.Float64Var(&m.mixtureSharpness, "mixture-sharpness", 0, "tau of a cell's posterior over the components, softmax(tau·score) (default 1)")
	fs.Float64Var(&m.mixtureEntropy, "mixture-entropy", 0, "alpha, what that posterior's entropy counts; 1/tau makes it the best one there is (default 1)")
	fs.IntVar(&m.logEvery, "log-every", 10, "steps between entries of metrics.jsonl")
}

// config returns the method's recipe for views of a size with the given flags
// in place of its values.
func (m *methodFlags) config(fs *pflag.FlagSet, c *commonFlags, size int, initial *encoder.Inferred) (contrast.Config, error) {
	cfg, err := contrast.Recipe(m.method, size, contrast.Preset(m.preset))
	if err != nil {
		return cfg, usageError{err}
	}
	given := func(name string) bool { return changed(fs, name) }
	for _, name := range contrast.Particular() {
		if given(name) && !cfg.Uses(name) {
			return cfg, usagef("--%s is no setting of --method %s", name, cfg.Method)
		}
	}
	if given("encoder") {
		parsed, err := encoder.ParseResNet(m.encoder)
		if err != nil {
			return cfg, usageError{err}
		}
		cfg.Encoder.Depth, cfg.Encoder.CIFAR = parsed.Depth, parsed.CIFAR
	}
	if given("width") {
		cfg.Encoder.Width = m.width
	}
	if given("estimator") {
		cfg.Estimator = contrast.Estimator(m.estimator)
	}
	if given("dim-objective") {
		cfg.SetPairing(contrast.Pairing(m.objective))
	}
	if given("coordinates") {
		cfg.Coordinates = contrast.Coordinates(m.coordinates)
	}
	if given("critic") {
		cfg.SetCritic(contrast.Critic(m.critic))
	}
	if given("head") {
		if cfg.Head, err = encoder.ParseHead(m.head); err != nil {
			return cfg, usageError{err}
		}
	}
	if given("normalize") {
		if cfg.Encoder.Normalize, err = parseNormalize(m.normalize); err != nil {
			return cfg, err
		}
	}
	if given("batch") && m.batch > 0 {
		cfg.SetBatch(m.batch)
	} else if given("batch") {
		return cfg, usagef("--batch is %d, want at least 1", m.batch)
	}
	if given("optimizer") {
		kind, err := encoder.ParseOptimizer(m.optimizer)
		if err != nil {
			return cfg, usageError{err}
		}
		cfg.SetOptimizer(kind)
	}
	for _, f := range []struct {
		name string
		to   *int
		from int
	}{{"queue", &cfg.Queue, m.queue}, {"dim", &cfg.Dim, m.dim}, {"split-bn", &cfg.SplitBN, m.splitBN}, {"epochs", &cfg.Schedule.Epochs, m.epochs}, {"steps", &cfg.Schedule.Steps, m.steps}, {"warmup", &cfg.Schedule.Warmup, m.warmup}, {"warmup-epochs", &cfg.Schedule.WarmupEpochs, m.warmupEpochs}, {"depth", &cfg.Depth, m.depth}, {"chunk", &cfg.Chunk, m.chunk}, {"hidden", &cfg.Hidden, m.hidden}, {"mixture", &cfg.Mixture, m.mixture}, {"directions", &cfg.Directions, m.directions}} {
		if given(f.name) {
			*f.to = f.from
		}
	}
	if initial != nil {
		takeInitial(&cfg, initial, given)
	}
	if cfg.Uses("head") && cfg.Head == encoder.NoHead && !given("dim") {
		cfg.Dim = cfg.Graph().Features()
	}
	if given("bound") { // which looks at the dimensions
		cfg.SetBound(contrast.Bound(m.bound))
	}
	for _, f := range []struct {
		name string
		to   *float64
		from float64
	}{{"temperature", &cfg.Temperature, m.temperature}, {"momentum", &cfg.Momentum, m.momentum}, {"lr", &cfg.Schedule.Base, m.lr}, {"weight-decay", &cfg.WeightDecay, m.weightDecay}, {"clip-norm", &cfg.ClipNorm, m.clipNorm}, {"prior", &cfg.Prior, m.prior}, {"occlude", &cfg.Occlude, m.occlude}, {"mixture-sharpness", &cfg.MixtureSharpness, m.mixtureSharpness}, {"mixture-entropy", &cfg.MixtureEntropy, m.mixtureEntropy}, {"ema", &cfg.EMA, m.ema}, {"bound-alpha", &cfg.BoundAlpha, m.boundAlpha}} {
		if given(f.name) {
			*f.to = f.from
		}
	}
	switch { // one that is asked for takes the place of the recipe's other
	case given("warmup") && !given("warmup-epochs"):
		cfg.Schedule.WarmupEpochs = 0
	case given("warmup-epochs") && !given("warmup"):
		cfg.Schedule.Warmup = 0
	}
	if given("schedule") {
		if cfg.Schedule.Kind, err = encoder.ParseSchedule(m.schedule); err != nil {
			return cfg, usageError{err}
		}
	}
	if given("momentum-schedule") {
		cfg.MomentumSchedule = encoder.ScheduleKind(m.momentumSchedule)
	}
	if cfg.Conv, err = parseConv(m.conv); err != nil {
		return cfg, err
	}
	if !given("split-bn") {
		cfg.SplitBN = groupsFor(cfg.Batch, cfg.SplitBN)
	}
	cfg.LearnTemperature = m.learnTemperature
	cfg.Symmetric, cfg.QueueInit, cfg.MaskSameID = m.symmetric, contrast.QueueInit(m.queueInit), m.maskSameID
	cfg.Seed, cfg.Workers, cfg.LogEvery = c.seed, c.workers, m.logEvery
	if given("steps") && !given("epochs") {
		cfg.Schedule.Epochs = 0
	}
	return cfg, nil
}

// groupsFor returns the largest number of groups up to want that divides the
// batch and leaves two samples in each.
func groupsFor(batch, want int) int {
	for g := min(want, batch/2); g > 1; g-- {
		if batch%g == 0 {
			return g
		}
	}
	return 1
}

func parseConv(s string) (kernel.Algorithm, error) {
	switch s {
	case "auto":
		return kernel.Auto, nil
	case "direct":
		return kernel.Direct, nil
	case "f2":
		return kernel.F2, nil
	}
	return 0, usagef("--conv is %q, want auto, direct or f2", s)
}

func parseNormalize(s string) (encoder.Normalize, error) {
	switch s {
	case "imagenet":
		return contrast.NormalizeImageNet, nil
	case "cifar10":
		return contrast.NormalizeCIFAR10, nil
	case "none":
		return contrast.NormalizeNone, nil
	}
	fields := strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' || r == '/' })
	var v [6]float32
	if len(fields) != len(v) {
		return encoder.Normalize{}, usagef("--normalize is %q, want imagenet, cifar10, none or six numbers (means and deviations of R,G,B)", s)
	}
	for i, f := range fields {
		x, err := strconv.ParseFloat(f, 32)
		if err != nil || math.IsNaN(x) || math.IsInf(x, 0) || i >= 3 && x <= 0 {
			return encoder.Normalize{}, usagef("--normalize: %q is no mean or positive deviation", f)
		}
		v[i] = float32(x)
	}
	return encoder.Normalize{Mean: [3]float32{v[0], v[1], v[2]}, Std: [3]float32{v[3], v[4], v[5]}}, nil
}

// formatNormalize is the form parseNormalize reads, so that a resolved
// configuration does not depend on what a name stands for.
func formatNormalize(n encoder.Normalize) string {
	return strings.Trim(fmt.Sprint(append(n.Mean[:], n.Std[:]...)), "[]")
}
