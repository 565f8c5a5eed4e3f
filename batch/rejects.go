package batch

import (
	"errors"
	"fmt"
	"sync"
)

// Reject is a sample that could not be read. It keeps its place in the epoch's
// order, which no other sample takes.
type Reject struct {
	Shard  string `json:"shard,omitempty"` // path below the source's root; empty if Key holds the whole id
	Key    string `json:"key"`             // the sample's key in the shard
	Offset int64  `json:"offset"`
	Epoch  uint32 `json:"epoch"`
	Index  uint64 `json:"index"`
	What   string `json:"what"` // the operation that failed, as "decode"
	Why    string `json:"why"`
	// Lost is how many samples the entry stands for: 1 (also for 0), or the
	// rest of a shard that was given up.
	Lost int `json:"lost"`
	// GivenUp says that reading was given up, of the sample or from it on: the reason
	// may be gone the next time, so that digests of the run say nothing.
	GivenUp bool `json:"given_up,omitempty"`
}

// Error returns "shard/key@offset: what: why".
func (r Reject) Error() string {
	id := r.Key
	if r.Shard != "" {
		id = r.Shard + "/" + r.Key
	}
	return fmt.Sprintf("%s@%d: %s: %s", id, r.Offset, r.What, r.Why)
}

// ErrTooManyRejects says that more samples were damaged than the run tolerates.
var ErrTooManyRejects = errors.New("more samples were rejected than --max-rejects allows")

// Rejects counts the samples of each epoch that were seen and those that were
// rejected, and says when there are too many. Epochs are kept apart: the stage
// that reads is ahead of the one that decodes. It is safe for concurrent use.
type Rejects struct {
	// Max is the tolerated share: the run ends when rejects > Max*max(seen, 1000)
	// while reading, or > Max*seen at an epoch's end.
	Max float64
	// Log is called with every reject, one at a time; nil drops them.
	Log func(Reject) error

	mu     sync.Mutex // guards what follows
	epochs map[uint32]tally
	total  int // rejects of all epochs
	last   Reject
}

// tally counts the samples of an epoch.
type tally struct {
	seen, tried int // rejects included
	lost        int
}

// samples is the number of which lost were rejected: the stage that reads sees
// those that the others try. In a process without one they try all there are.
func (t tally) samples() int { return max(t.seen, t.tried) }

// Seen counts n samples of an epoch, whether they turn out readable or not.
func (r *Rejects) Seen(epoch uint32, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count(epoch, tally{seen: n})
}

// Tried counts n samples of an epoch that a stage reads from another, which may
// be in another process and have called Seen there.
func (r *Rejects) Tried(epoch uint32, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count(epoch, tally{tried: n})
}

func (r *Rejects) count(epoch uint32, more tally) tally {
	if r.epochs == nil {
		r.epochs = map[uint32]tally{}
	}
	t := r.epochs[epoch]
	t.seen, t.tried, t.lost = t.seen+more.seen, t.tried+more.tried, t.lost+more.lost
	r.epochs[epoch] = t
	return t
}

// Add counts a sample that could not be read. The error, if there are too
// many, is an ErrTooManyRejects that names the last.
func (r *Rejects) Add(reject Reject) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	reject.Lost = max(reject.Lost, 1)
	r.last = reject
	r.total += reject.Lost
	t := r.count(reject.Epoch, tally{lost: reject.Lost})
	if r.Log != nil {
		if err := r.Log(reject); err != nil {
			return err
		}
	}
	return r.check(t, max(t.samples(), 1000))
}

// EndEpoch checks an epoch, all of whose samples have been tried, against what
// was seen of it.
func (r *Rejects) EndEpoch(epoch uint32) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.epochs[epoch]
	delete(r.epochs, epoch)
	return r.check(t, t.samples())
}

// Total returns the number of samples rejected in all epochs.
func (r *Rejects) Total() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.total
}

func (r *Rejects) check(t tally, of int) error {
	// A quotient is rounded as the decimal number of Max was: 29 of 100 are
	// not above 0.29, while 0.29*100 < 29.
	if t.lost == 0 || float64(t.lost)/float64(of) <= r.Max {
		return nil
	}
	return fmt.Errorf("%w: %d of %d samples, tolerated are %.4g %%; the last: %w", ErrTooManyRejects, t.lost, max(t.samples(), t.lost), 100*r.Max, r.last)
}
