package encoder

// CriticHidden is the width of the hidden layer of PairCritic (Poole et al.
// 2019, appendix: critics of 256 hidden units).
const CriticHidden = 256

// AddBilinear puts a matrix W on the output "projection" and adds the output
// "critic" [N,D], W·z, so that the inner product with another's projection is
// the bilinear form of the two (van den Oord et al. 2018, equation 3). What it
// gives is of any length.
func (g *Graph) AddBilinear() {
	x := g.projection("AddBilinear")
	g.Output("critic", g.Add("critic", Linear{Out: g.Shape(x).C}, x))
}

// AddPairCritic puts the first layer of a critic f(x,y) = v·ReLU(A·x + B·y + b) + c
// on the output "projection": the outputs "critic_query" [N,CriticHidden], A·z + b,
// and "critic_key", B·z. What is left, v and c, is PairCritic's.
func (g *Graph) AddPairCritic() {
	x := g.projection("AddPairCritic")
	g.Output("critic_query", g.Add("critic.query", Linear{Out: CriticHidden, Bias: true}, x))
	g.Output("critic_key", g.Add("critic.key", Linear{Out: CriticHidden}, x))
}

// AddBaseline puts a linear layer on the output "projection": the output
// "baseline" [N,1] (Poole et al. 2019, section 2.2: log a(y)).
func (g *Graph) AddBaseline() {
	g.Output("baseline", g.Add("baseline", Linear{Out: 1, Bias: true}, g.projection("AddBaseline")))
}

func (g *Graph) projection(who string) Value {
	x, ok := g.Find("projection")
	if !ok {
		panic("encoder: " + who + ": the graph has no output projection")
	}
	return x
}

// PairCritic describes the last layer of the critic of AddPairCritic: the
// weights v and the bias c of "out".
func PairCritic() *Graph {
	g := NewVectorGraph(CriticHidden)
	g.Output("score", g.Add("out", Linear{Out: 1, Bias: true}, 0))
	return g
}
