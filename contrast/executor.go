package contrast

import (
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
	// Loss is an InfoNCE loss between two passes.
	Loss int
)

// View selects a column of the batch.
type View int

const (
	Anchor View = iota
	Positive
)

// Grouping says how the samples of a pass share batch statistics.
type Grouping int

const (
	// InOrder puts sample n into group n mod S.
	InOrder Grouping = iota
	// Shuffled puts samples into groups by a permutation drawn for each step:
	// a query and its key fall into different groups, so that the key's
	// statistics tell nothing about its query (methods.md 2.3; MoCo's
	// shuffled BN).
	Shuffled
)

// An Executor holds networks, queues and losses and runs the operations of a
// method's step on the current batch. The first group of methods declares, once,
// when the method is made; the second makes up the step.
type Executor interface {
	// Network declares a network trained by the optimiser.
	Network(name string, g *encoder.Graph) Net
	// MomentumCopy declares a network of the same values that follows another
	// by Momentum and is never optimised.
	MomentumCopy(name string, of Net) Net
	// Pass declares a forward pass; without grad it never runs backward.
	Pass(n Net, grad bool) Pass
	// Queue declares a ring buffer of keys.
	Queue(name string) Ring
	// InfoNCE declares the loss of query's embeddings against key's as positives
	// and the queue's rows as negatives. Its gradient goes to query.
	InfoNCE(query, key Pass, queue Ring) Loss

	// Momentum moves a momentum copy: θ_k ← m θ_k + (1-m) θ_q.
	Momentum(key Net)
	// Forward runs a pass on a view of the batch.
	Forward(p Pass, v View, g Grouping)
	// Contrast computes a loss and the gradient of its query's embeddings.
	Contrast(l Loss)
	// Enqueue puts the embeddings of a pass into a queue, over the oldest.
	Enqueue(r Ring, key Pass)
	// Backward adds to the gradients of the pass's network.
	Backward(p Pass)
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
