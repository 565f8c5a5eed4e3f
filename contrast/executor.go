package contrast

import (
	"slices"

	"clpipe/batch"
	"clpipe/encoder"
)

// Handles name what an Executor holds. A method keeps and passes them; what
// they stand for only State and Load reveal.
type (
	// Net is a network with its parameters.
	Net int
	// Pass is a live forward pass of a network, with the memory of its backward pass.
	Pass int
	// Ring is a queue of keys.
	Ring int
	// Loss is an objective over outputs of passes.
	Loss int
)

// View selects what a pass reads.
type View int

const (
	Anchor   View = iota // the batch's column
	Positive             // likewise
	Fed                  // float vectors that Feed or Draw put there
	Occluded             // anchors with a part hidden, drawn for each image and step
	Both                 // anchors, then positives: 2N samples with batch statistics in common
	Local                // the first of each sample's local views; Local+v is number v
)

// Grouping says how the samples of a pass share batch statistics.
type Grouping int

const (
	// InOrder puts sample n into group n mod S.
	InOrder Grouping = iota
	// Shuffled puts samples into groups by a permutation drawn for each step:
	// a query and its key fall into different groups, so that the key's
	// statistics tell nothing about its query (MoCo's shuffled BN).
	Shuffled
)

// PassSpec says what a pass does.
type PassSpec struct {
	View     View
	Grouping Grouping
	Grads    []string // outputs that receive gradients; none: it never runs backward
	// Part names the outputs that are computed, Grads among them; none: all.
	Part []string
	// Frozen sends the gradients on to the vectors that were fed, and none to
	// the network's parameters.
	Frozen bool
	// Chunk is the number of pairs that a pass over Both takes at once; 0: all.
	// Forward then keeps the outputs of Grads alone, and Backward runs forward
	// again: gradient caching (Gao et al. 2021, section 3), with memory for one
	// chunk's activations.
	Chunk int
}

// kind returns what passes have in common that one compiled network serves: of
// their views whether they are Both, or Local, and nothing of their grouping.
func (s PassSpec) kind() PassSpec {
	s.Grouping = InOrder
	switch {
	case s.View >= Local:
		s.View = Local
	case s.View != Both:
		s.View = Anchor
	}
	return s
}

// ahead returns the specification of the first forward passes in chunks.
func (s PassSpec) ahead() PassSpec {
	s.Grads = nil
	return s
}

// equal reports whether two specifications are the same.
func (s PassSpec) equal(o PassSpec) bool {
	return s.View == o.View && s.Grouping == o.Grouping && s.Frozen == o.Frozen && s.Chunk == o.Chunk &&
		slices.Equal(s.Grads, o.Grads) && slices.Equal(s.Part, o.Part)
}

// Out is a named output of a pass: rows of numbers, those of a map pixel after
// pixel.
type Out struct {
	Pass Pass
	Name string
}

// An Objective is a loss over outputs, as data; the Executor makes it work.
type Objective interface {
	bind(c *cpu) boundLoss
}

// An Executor holds networks, queues and losses and runs the operations of a
// method's step on the current batch. The first group of methods declares, once,
// when the method is made; the second makes up the step.
type Executor interface {
	// Network declares a network trained by an optimiser of its own.
	Network(name string, g *encoder.Graph) Net
	// MomentumCopy declares a network of the same values that follows another
	// by Momentum and is never optimised. It is that network, or the part of it
	// that its first nodes are.
	MomentumCopy(name string, of Net, part *encoder.Graph) Net
	// Pass declares a forward pass.
	Pass(n Net, s PassSpec) Pass
	// Queue declares a ring buffer of keys.
	Queue(name string) Ring
	// Loss declares an objective. Its gradients add to those of its outputs.
	Loss(o Objective) Loss

	// Momentum moves a momentum copy: θ_k ← m θ_k + (1-m) θ_q.
	Momentum(key Net)
	// Feed puts rows of an output where a pass reads; Draw uniform numbers in [0,1).
	Feed(p Pass, from Out)
	Draw(p Pass)
	// Forward runs a pass. One without gradients must not run while another is
	// between Forward and Backward: their activations may lie in one place.
	Forward(p Pass)
	// Contrast computes a loss and its gradients.
	Contrast(l Loss)
	// Enqueue puts the embeddings of a pass into a queue, over the oldest.
	Enqueue(r Ring, key Pass)
	// Backward adds to the gradients of the pass's network, or those of what was fed.
	Backward(p Pass)
	// Return adds the gradients of what was fed to those of the output it came from.
	Return(p Pass, to Out)
	// Optimise steps a network by its gradients and clears them.
	Optimise(n Net)
}

// A Method is an objective with its way of training.
type Method interface {
	// Step trains on the executor's current batch.
	Step(x Executor)
}

// Recorder keeps what training reports. A run directory is one.
type Recorder interface {
	// Log appends an entry, a value that encodes to a JSON object, to the
	// run's metrics.
	Log(entry any) error
	// Checkpoint makes the state after a step durable.
	Checkpoint(step int, s batch.State) error
}
