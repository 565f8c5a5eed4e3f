package contrast

import (
	"fmt"
	"slices"

	"clpipe/encoder"
)

// Critic is the form of the scores of two representations.
type Critic string

const (
	// CosineCritic is the inner product of unit vectors, divided by τ.
	CosineCritic Critic = "cosine"
	// DotCritic is that of projections of any length; of Deep InfoMax encode-and-dot.
	DotCritic Critic = "dot"
	// BilinearCritic is qᵀWk with a learned W (van den Oord et al. 2018, equation
	// 3), of projections of any length; keys of a queue are of unit length.
	BilinearCritic Critic = "bilinear"
	// MLPCritic is v·ReLU(Aq + Bk + b) + c: a perceptron with one hidden layer on
	// the two projections side by side (Poole et al. 2019, section 3).
	MLPCritic Critic = "mlp"
	// ConvolveCritic is Deep InfoMax's concat-and-convolve, for local pairs.
	ConvolveCritic Critic = "convolve"
)

// SetCritic changes the form of the scores. Those that learn their scale start
// without a temperature, at τ 1.
func (c *Config) SetCritic(critic Critic) {
	c.Critic = critic
	if c.Temperature > 0 && critic != CosineCritic {
		c.Temperature = 1
	}
}

// Outputs that a critic other than cosine reads, see encoder.AddBilinear and
// encoder.AddPairCritic.
const (
	projection  = "projection"
	critic      = "critic"
	criticQuery = "critic_query"
	criticKey   = "critic_key"
)

// criticised is a residual network with its projection head and the layers of
// its critic and of its bound's baseline.
func criticised(c Config) *encoder.Graph {
	g := resnetWithHead(c)
	switch c.Critic {
	case BilinearCritic:
		g.AddBilinear()
	case MLPCritic:
		g.AddPairCritic()
	}
	if c.Bound.hasBaseline() {
		g.AddBaseline()
	}
	return g
}

// scored returns the outputs that the critic compares: their inner product is
// the score, but of a perceptron, of which they are the first layer.
func (c Config) scored() (query, key string) {
	switch c.Critic {
	case DotCritic:
		return projection, projection
	case BilinearCritic:
		return critic, projection
	case MLPCritic:
		return criticQuery, criticKey
	}
	return embedding, embedding
}

// outputs returns the names once each, in order: what receives gradients.
func outputs(names ...string) []string {
	var out []string
	for _, n := range names {
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// checkCritic returns an error unless the critic is one of those allowed.
func checkCritic(c Config, allowed ...Critic) []error {
	want := string(allowed[0])
	for i, a := range allowed[1:] {
		if i == len(allowed)-2 {
			want += " or " + string(a)
		} else {
			want += ", " + string(a)
		}
	}
	return expect(slices.Contains(allowed, c.Critic), "critic", fmt.Sprintf("%q", c.Critic), want)
}
