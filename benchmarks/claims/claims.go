package main

// A claim of the literature, and the runs that show it or do not.
type claim struct {
	name     string
	says     string // the claim, with its source
	axis     string // what the variants change
	logX     bool   // the variants' X are sizes
	variants []variant
	// better and worse name the variants whose features are compared: the claim
	// shows where the former's 95 % interval lies above the latter's.
	better, worse string
	// also is a further demand on the two, such as a loss; nil: none.
	also func(better, worse outcome) (shown bool, text string)
}

// A variant is a way to train.
type variant struct {
	series string // line of the picture; "": the only one
	name   string
	x      float64
	args   []string
	policy string // text of a policy file; "": the method's
	batch  int    // 0: the scale's; as many images are seen in any case
}

// Policies that grow: what each step adds is what the next one has.
const (
	cropOnly   = "name: crop\nboth:\n  - {op: random_resized_crop, scale: [0.08, 1.0]}\n"
	cropFlip   = cropOnly + "  - {op: horizontal_flip, p: 0.5}\n"
	cropColour = cropFlip + "  - {op: color_jitter, brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1, p: 0.8}\n"
	allOf      = cropColour + "  - {op: grayscale, p: 0.2}\n"
	weakCrop   = "name: weak\nboth:\n  - {op: random_resized_crop, scale: [0.8, 1.0]}\n  - {op: horizontal_flip, p: 0.5}\n"
)

var claims = []claim{
	{
		name: "queue", axis: "negatives", logX: true,
		says:   "More negatives help, and an end-to-end batch cannot follow (He et al. 2020, figure 3).",
		better: "queue 4096", worse: "queue 64",
		variants: []variant{
			{"queue", "queue 64", 64, []string{"--queue", "64"}, "", 64}, {"queue", "queue 256", 256, []string{"--queue", "256"}, "", 64},
			{"queue", "queue 1024", 1024, []string{"--queue", "1024"}, "", 64}, {"queue", "queue 4096", 4096, []string{"--queue", "4096"}, "", 64},
			{"queue", "queue 16384", 16384, []string{"--queue", "16384"}, "", 64}, {"queue", "queue 65536", 65536, []string{"--queue", "65536"}, "", 64},
			{"end-to-end", "batch 64", 64, []string{"--method", "infonce"}, "", 64}, {"end-to-end", "batch 256", 256, []string{"--method", "infonce"}, "", 256},
			{"end-to-end", "batch 1024", 1024, []string{"--method", "infonce"}, "", 1024},
		},
	},
	{
		name: "momentum", axis: "momentum of the key encoder",
		says:   "The momentum has a sweet spot and 0 fails (He et al. 2020, section 4.1).",
		better: "0.99", worse: "0",
		variants: []variant{
			{"", "0", 0, []string{"--momentum", "0"}, "", 0}, {"", "0.9", 1, []string{"--momentum", "0.9"}, "", 0}, {"", "0.99", 2, []string{"--momentum", "0.99"}, "", 0},
			{"", "0.999", 3, []string{"--momentum", "0.999"}, "", 0}, {"", "0.9999", 4, []string{"--momentum", "0.9999"}, "", 0},
		},
	},
	{
		name: "dim", axis: "what Deep InfoMax scores against",
		says:   "Local Deep InfoMax beats global (Hjelm et al. 2019, table 1).",
		better: "local", worse: "global",
		variants: []variant{
			{"", "global", 0, []string{"--method", "dim", "--dim-objective", "global"}, "", 0}, {"", "local", 1, []string{"--method", "dim", "--dim-objective", "local"}, "", 0},
			{"", "both", 2, []string{"--method", "dim", "--dim-objective", "both"}, "", 0},
		},
	},
	{
		name: "head", axis: "projection head",
		says:   "A projection head helps the representation before it, a non-linear one more (Chen et al. 2020, figure 8).",
		better: "mlp", worse: "none",
		variants: []variant{{"", "none", 0, []string{"--head", "none"}, "", 0}, {"", "linear", 1, []string{"--head", "linear"}, "", 0}, {"", "mlp", 2, []string{"--head", "mlp"}, "", 0}},
	},
	{
		name: "augmentation", axis: "augmentation",
		says:   "Stronger augmentation helps (Chen et al. 2020, section 3).",
		better: "crop, flip, colour, grey", worse: "weak crop, flip",
		variants: []variant{
			{"", "weak crop, flip", 0, nil, weakCrop, 0}, {"", "crop", 1, nil, cropOnly, 0}, {"", "crop, flip", 2, nil, cropFlip, 0},
			{"", "crop, flip, colour", 3, nil, cropColour, 0}, {"", "crop, flip, colour, grey", 4, nil, allOf, 0},
		},
	},
	{
		name: "batchnorm", axis: "groups of batch statistics",
		says:   "Without shuffled or split batch statistics the loss falls and the features worsen (He et al. 2020, section 3.3).",
		better: "8 groups, shuffled", worse: "1 group",
		variants: []variant{{"", "1 group", 0, []string{"--split-bn", "1"}, "", 0}, {"", "8 groups, shuffled", 1, []string{"--split-bn", "8"}, "", 0}},
		also: func(better, worse outcome) (bool, string) {
			return worse.Loss < better.Loss, "whose loss is lower"
		},
	},
}
