package contrast

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"clpipe/encoder"
)

// A method is an entry of the registry: all that the rest of the program asks
// of a way to train. The step itself is in the file of its name.
type method struct {
	name   string
	policy string // its augmentation; "": MoCo's for the size
	uses   string // the settings that it takes and not every method does, by flag
	// recipe sets the published values; c comes with the common defaults, which
	// are MoCo's.
	recipe func(c *Config, size int)
	// small cuts the recipe down to two cores; nil: MoCo's way.
	small func(c *Config)
	// graph describes the trained network; its output "features" is the
	// representation that probes judge.
	graph func(c Config) *encoder.Graph
	// whole describes the same network on images [S,S,3]; nil: graph does.
	whole func(c Config) *encoder.Graph
	// encoder is the network's name; "": a residual network, see Config.Encoder.
	encoder string
	// shape is that of a view in the stream; nil: [S,S,3].
	shape    func(c Config) []int
	oneView  bool // the stream needs no positives
	labelled bool // every sample needs a label
	local    bool // local views may be further queries
	// check returns what is wrong beyond what concerns every method.
	check func(c Config) []error
	// build declares what the method needs of the network that graph describes.
	build func(x Executor, g *encoder.Graph, c Config) Method
}

// registry holds every method, in the order of help and messages.
var registry = append(mocoMethods, &mocoV3Method, &endToEndMethod, &simclrMethod, &cpcMethod, &dimMethod, &amdimMethod, &supervisedMethod)

// Methods lists the names --method takes.
func Methods() []string {
	names := []string{"moco"}
	for _, m := range registry {
		names = append(names, m.name)
	}
	return names
}

// Contrastive lists the methods that learn without labels, each once.
func Contrastive() []string {
	var names []string
	for _, m := range registry {
		if !m.labelled {
			names = append(names, m.name)
		}
	}
	return names
}

// Locals lists the methods that train on local views too: the multi-crop of Caron
// et al. 2020 (SwAV, section 3.2). Each is a further query against the key of its
// sample's positive, and the loss is the mean over queries,
//
//	L = 1/(1+V) Σ_{v=0..V} L_q(q_v, k₊)
//
// of q_0 from the anchor, q_1 to q_V from the local views, k₊ from the positive; keys
// and queue are as without them.
func Locals() []string {
	var names []string
	for _, m := range registry {
		if m.local {
			names = append(names, m.name)
		}
	}
	return names
}

// LocalShape returns the shape of a sample's local views in the stream of pairs,
// [V,s,s,3], nil if there are none.
func (c Config) LocalShape() []int {
	if c.Local == 0 {
		return nil
	}
	return []int{c.Local, c.LocalSize, c.LocalSize, 3}
}

// localBytes is the length of one local view.
func (c Config) localBytes() int { return c.LocalSize * c.LocalSize * 3 }

// localGraph describes the network of Graph on local views: convolutions and a
// global mean have the same parameters for any size.
func (c Config) localGraph() *encoder.Graph {
	c.Encoder.Size = c.LocalSize
	return c.Graph()
}

// lookup returns a method of the registry, nil if the name is none's.
func lookup(name string) *method {
	for _, m := range registry {
		if m.name == name {
			return m
		}
	}
	return nil
}

// method returns the configuration's method.
func (c Config) method() *method {
	m := lookup(c.Method)
	if m == nil {
		panic("contrast: method " + c.Method + " is not known") // Validate has looked
	}
	return m
}

// Particular lists, by flag, the settings that only some methods take.
func Particular() []string {
	var flags []string
	for _, m := range registry {
		for _, f := range strings.Fields(m.uses) {
			if !slices.Contains(flags, f) {
				flags = append(flags, f)
			}
		}
	}
	return flags
}

// Uses reports whether the method takes a setting of Particular.
func (c Config) Uses(flag string) bool { return slices.Contains(strings.Fields(c.method().uses), flag) }

// Graph describes the network the configuration trains.
func (c Config) Graph() *encoder.Graph { return c.method().graph(c) }

// WholeGraph describes the same network, under the same names, on whole images
// [S,S,3]: for probes and embeddings.
func (c Config) WholeGraph() *encoder.Graph {
	if m := c.method(); m.whole != nil {
		return m.whole(c)
	}
	return c.Graph()
}

// ViewShape returns the shape of a view in the stream of pairs.
func (c Config) ViewShape() []int {
	if m := c.method(); m.shape != nil {
		return m.shape(c)
	}
	return []int{c.Encoder.Size, c.Encoder.Size, 3}
}

// OneView reports whether the method takes a stream without positives.
func (c Config) OneView() bool { return c.method().oneView }

// EncoderName returns the network's name.
func (c Config) EncoderName() string {
	if name := c.method().encoder; name != "" {
		return name
	}
	return encoder.Inferred{Depth: c.Encoder.Depth, CIFAR: c.Encoder.CIFAR}.Name()
}

// Policy returns the name of the augmentation policy.
func (c Config) Policy() string {
	if c.Augmentation != "" {
		return c.Augmentation
	}
	if p := c.method().policy; p != "" {
		return p
	}
	return PolicyFor(c.Encoder.Size)
}

// resnetWithHead is a residual network with its projection head.
func resnetWithHead(c Config) *encoder.Graph {
	g := encoder.ResNet(c.Encoder)
	g.AddHead(encoder.Head{Kind: c.Head, Hidden: c.Hidden, Dim: c.Dim})
	return g
}

// expect returns an error that names a field unless its value is allowed.
func expect(ok bool, field string, got any, want string) []error {
	if ok {
		return nil
	}
	return []error{fmt.Errorf("contrast: %s is %v, want %s", field, got, want)}
}

// checkResNet returns what is wrong with the settings of a residual network with
// a head whose embeddings are contrasted at a temperature.
func checkResNet(c Config) []error {
	_, err := encoder.ParseHead(string(c.Head))
	return append(expect(err == nil, "head", fmt.Sprintf("%q", c.Head), "linear, mlp, mlp-bn or none"), checkBackbone(c)...)
}

// checkBackbone returns the same but for the head.
func checkBackbone(c Config) []error {
	return slices.Concat(
		expect(c.Encoder.Depth == 18 || c.Encoder.Depth == 50, "encoder", fmt.Sprint("resnet", c.Encoder.Depth), "resnet18 or resnet50"),
		expect(c.Temperature > 0 && !math.IsInf(c.Temperature, 0), "temperature", c.Temperature, "above 0"),
	)
}

// checkMomentum returns what is wrong with the settings of a momentum encoder.
func checkMomentum(c Config) []error {
	return append(expect(c.Momentum >= 0 && c.Momentum <= 1, "momentum", c.Momentum, "in [0,1]"),
		expect(c.MomentumSchedule == encoder.Constant || c.MomentumSchedule == encoder.Cosine, "momentum-schedule", c.MomentumSchedule, "constant or cosine")...)
}

// checkNegatives returns what is wrong where the negatives are the batch.
func checkNegatives(c Config) []error {
	return expect(c.Batch >= 2, "batch", c.Batch, "at least 2: the negatives are in the batch")
}
