package batch

import (
	"errors"
	"fmt"
	"sync"
)

// Reject is a sample that could not be read. It keeps its place in the epoch's
// order, which no other sample takes.
type Reject struct {
	Shard  string `json:"shard"` // path below the source's root
	Key    string `json:"key"`   // the sample's key in the shard
	Offset int64  `json:"offset"`
	Epoch  uint32 `json:"epoch"`
	Index  uint64 `json:"index"`
	What   string `json:"what"` // the operation that failed, as "decode"
	Why    string `json:"why"`
	// Lost is how many samples the entry stands for: 1 (also for 0), or the
	// rest of a shard that was given up.
	Lost int `json:"lost"`
}

// Error returns "shard/key@offset: what: why".
func (r Reject) Error() string {
	return fmt.Sprintf("%s/%s@%d: %s: %s", r.Shard, r.Key, r.Offset, r.What, r.Why)
}

// ErrTooManyRejects says that more samples were damaged than the run tolerates.
var ErrTooManyRejects = errors.New("more samples were rejected than --max-rejects allows")

// Rejects counts the samples of an epoch that were seen and those that were
// rejected, and says when there are too many. It is safe for concurrent use.
type Rejects struct {
	// Max is the tolerated share: the run ends when rejects > Max*max(seen, 1000)
	// while reading, or > Max*seen at an epoch's end.
	Max float64
	// Log is called with every reject, one at a time; nil drops them.
	Log func(Reject) error

	mu    sync.Mutex
	seen  int // of this epoch, rejects included
	lost  int // of this epoch
	total int // of all epochs
	last  Reject
}

// Seen counts n samples read, whether they turn out readable or not.
func (r *Rejects) Seen(n int) {
	r.mu.Lock()
	r.seen += n
	r.mu.Unlock()
}

// Add counts a sample that could not be read. The error, if there are too
// many, is an ErrTooManyRejects that names the last.
func (r *Rejects) Add(reject Reject) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	reject.Lost = max(reject.Lost, 1)
	r.last = reject
	r.lost += reject.Lost
	r.total += reject.Lost
	if r.Log != nil {
		if err := r.Log(reject); err != nil {
			return err
		}
	}
	return r.check(max(r.seen, 1000))
}

// EndEpoch checks the epoch that ends against what was seen of it and begins
// the next.
func (r *Rejects) EndEpoch() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.check(r.seen)
	r.seen, r.lost = 0, 0
	return err
}

// Total returns the number of samples rejected in all epochs.
func (r *Rejects) Total() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.total
}

func (r *Rejects) check(of int) error {
	// A quotient is rounded as the decimal number of Max was: 29 of 100 are
	// not above 0.29, while 0.29*100 < 29.
	if r.lost == 0 || float64(r.lost)/float64(of) <= r.Max {
		return nil
	}
	return fmt.Errorf("%w: %d of %d samples, tolerated are %.4g %%; the last: %w", ErrTooManyRejects, r.lost, max(r.seen, r.lost), 100*r.Max, r.last)
}
