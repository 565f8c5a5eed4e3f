package sink

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"clpipe/batch"
)

// ConfigFile is the name of the resolved configuration in a run directory and
// in each checkpoint.
const ConfigFile = "config.yaml"

// The other names in a run directory.
const (
	lockFile       = "lock"
	metricsFile    = "metrics.jsonl"
	rejectedFile   = "rejected.jsonl"
	summaryFile    = "summary.json"
	checkpointsDir = "checkpoints"
)

// Options say how a run directory is opened.
type Options struct {
	// Config is the resolved configuration, a YAML mapping without secrets.
	Config []byte
	// Ignore names the settings that do not change the result: they may differ
	// from those the run began with. Nested settings are named with dots; a
	// name stands for all below it too.
	Ignore []string
	// Resume goes on from the newest intact checkpoint; without one, or without
	// the directory, it begins at step 0.
	Resume bool
	// Keep is how many checkpoints stay, 2 if it is 0.
	Keep int
}

// A UsageError says that the run directory cannot be used as it was asked for:
// the command line is wrong, not the machine.
type UsageError struct {
	Dir string
	Why string
}

// Error names the directory and says why.
func (e *UsageError) Error() string { return fmt.Sprintf("sink: run %s: %s", e.Dir, e.Why) }

// A Run is a run directory that this process writes to. Close it after use. It
// is safe for concurrent use.
type Run struct {
	dir    string
	disk   disk
	config []byte
	keep   int
	lock   *os.File

	from    *Checkpoint
	refused []error
	summary *Summary // of a finished run

	mu       sync.Mutex
	metrics  *journal
	rejects  *journal
	rejected int
	givenUp  bool // reading of a part of them was given up
	step     int  // of the newest durable checkpoint, -1 without one
}

// OpenRun opens the directory and locks it, making it if needed. It fails with
// a *UsageError if the directory is not empty and opt.Resume is not set, if it
// is not a run directory, or if settings that change the result differ; with a
// *LockedError while another process writes to it; and if there are
// checkpoints but none is intact.
func OpenRun(dir string, opt Options) (*Run, error) { return openRun(osDisk{}, dir, opt) }

func openRun(d disk, dir string, opt Options) (*Run, error) {
	r := &Run{dir: dir, disk: d, config: opt.Config, keep: opt.Keep, step: -1}
	if r.keep <= 0 {
		r.keep = 2
	}
	if err := d.MkdirAll(dir); err != nil {
		return nil, r.fail(err)
	}
	if _, err := r.begun(opt); err != nil { // before the lock leaves its file there
		return nil, r.fail(err)
	}
	var err error
	if r.lock, err = lockDir(dir); err != nil {
		return nil, r.fail(err)
	}
	if err := r.open(opt); err != nil {
		r.Close() // of a run that was not opened: nothing of it is lost
		return nil, r.fail(err)
	}
	return r, nil
}

// fail names the run in an error that does not yet.
func (r *Run) fail(err error) error {
	var usage *UsageError
	var locked *LockedError
	if errors.As(err, &usage) || errors.As(err, &locked) {
		return err
	}
	return inRun(r.dir, err)
}

// open prepares the directory, which is locked.
func (r *Run) open(opt Options) error {
	begun, err := r.begun(opt)
	if err != nil {
		return err
	}
	if begun {
		if err := r.checkConfig(opt.Ignore); err != nil {
			return err
		}
		summary, err := readSummary(r.dir)
		if err != nil {
			return err
		}
		if summary != nil && summary.Finished {
			r.summary = summary
			return nil
		}
		if err := r.resume(); err != nil {
			return err
		}
	}
	if err := replaceFile(r.disk, r.path(ConfigFile), writes(r.config)); err != nil {
		return err
	}
	if err := r.disk.MkdirAll(r.path(checkpointsDir)); err != nil {
		return err
	}
	if r.metrics, err = openJournal(r.disk, r.path(metricsFile)); err != nil {
		return err
	}
	if r.rejects, err = openJournal(r.disk, r.path(rejectedFile)); err != nil {
		return err
	}
	// The names just made must outlive a crash like the checkpoints to come.
	if err := r.disk.SyncDir(r.dir); err != nil {
		return err
	}
	return r.disk.SyncDir(filepath.Dir(r.dir))
}

// begun reports whether the directory holds more than a lock and what was not
// finished, which only a run that goes on may find. A directory of other things is
// refused.
func (r *Run) begun(opt Options) (bool, error) {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return false, err
	}
	begun, isRun := false, false
	for _, e := range entries {
		if e.Name() != lockFile && !strings.HasSuffix(e.Name(), tmpSuffix) {
			begun = true
		}
		isRun = isRun || e.Name() == ConfigFile
	}
	if begun && !isRun {
		return false, &UsageError{r.dir, "it holds other files than a run's: choose another directory"}
	}
	if begun && !opt.Resume {
		return false, &UsageError{r.dir, "the directory is not empty: go on with the run in it by --resume, or name another by --run"}
	}
	return begun, nil
}

func (r *Run) checkConfig(ignore []string) error {
	before, err := os.ReadFile(r.path(ConfigFile))
	if err != nil {
		return err
	}
	differ, err := DiffConfig(before, r.config, ignore)
	if err != nil {
		return inFile(ConfigFile, err)
	}
	if len(differ) > 0 {
		return &UsageError{r.dir, "it cannot go on with settings that change its result: " + strings.Join(differ, "; ") + ": give it those of its " + ConfigFile + ", or name another directory by --run"}
	}
	return nil
}

// resume finds the checkpoint to go on from and takes back what was written
// after it.
func (r *Run) resume() error {
	var err error
	dir := r.path(checkpointsDir)
	if r.from, r.refused, err = latest(dir); err != nil {
		return err
	}
	if err := r.clear(dir); err != nil {
		return err
	}
	if err := pruneCheckpoints(r.disk, dir, r.keep); err != nil {
		return err
	}
	step, epochOpen := -1, false // without a checkpoint all of it is written again
	var position *batch.Position
	if r.from != nil {
		step, position, epochOpen = r.from.Step, r.from.Position, r.from.epochSteps > 0
		r.step = step
	}
	if err := cutJournal(r.disk, r.path(metricsFile), func(line []byte) bool {
		entry := parseEntry(line)
		return entry.Step < step || entry.Step == step && !(epochOpen && entry.EpochSteps > 0)
	}); err != nil {
		return err
	}
	return cutJournal(r.disk, r.path(rejectedFile), func(line []byte) bool {
		var reject batch.Reject
		if err := json.Unmarshal(line, &reject); err != nil || r.from == nil {
			return false
		}
		if position != nil && !(batch.Position{Epoch: reject.Epoch, Index: reject.Index}).Before(*position) {
			return false
		}
		r.count(reject)
		return true
	})
}

// clear removes what was not finished and sets refused checkpoints aside: they
// are newer than the one in use, and the run will come by their steps again.
func (r *Run) clear(dir string) error {
	for _, name := range []string{ConfigFile, metricsFile, rejectedFile, summaryFile} {
		if err := r.disk.RemoveAll(r.path(name) + tmpSuffix); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		step, isStep := stepOfName(e.Name())
		switch {
		case strings.HasSuffix(e.Name(), tmpSuffix):
			err = r.disk.RemoveAll(path)
		case isStep && r.from != nil && step > r.from.Step:
			if err = r.disk.RemoveAll(path + refusedSuffix); err == nil {
				err = r.disk.Rename(path, path+refusedSuffix)
			}
		default:
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// metricsEntry is what a run directory reads of an entry of the metrics.
type metricsEntry struct {
	Step       int `json:"step"`
	EpochSteps int `json:"epoch_steps"` // above 0 in that of an epoch's end
}

// parseEntry reads a line of metrics.jsonl: of step 0 if it names none.
func parseEntry(line []byte) metricsEntry {
	var entry metricsEntry
	if err := json.Unmarshal(line, &entry); err != nil {
		return metricsEntry{}
	}
	return entry
}

// Dir returns the run directory.
func (r *Run) Dir() string { return r.dir }

// From returns the checkpoint the run goes on from, nil if it begins at step 0.
func (r *Run) From() *Checkpoint { return r.from }

// Refused returns an error for each newer checkpoint that was not intact.
func (r *Run) Refused() []error { return r.refused }

// Finished returns the summary of a run that was resumed after its end, nil
// for all others. There is nothing left to do, and nothing may be written.
func (r *Run) Finished() *Summary { return r.summary }

// Log adds an object to metrics.jsonl. Its field step decides whether a
// resumed run keeps it.
func (r *Run) Log(entry any) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.add(r.metrics, metricsFile, entry)
}

// Reject adds a sample that could not be read to rejected.jsonl. It is what
// batch.Rejects.Log wants.
func (r *Run) Reject(reject batch.Reject) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count(reject)
	return r.add(r.rejects, rejectedFile, reject)
}

func (r *Run) count(reject batch.Reject) {
	r.rejected += reject.Lost
	r.givenUp = r.givenUp || reject.GivenUp
}

func (r *Run) add(j *journal, name string, entry any) error {
	if j == nil {
		return r.fail(inFile(name, os.ErrClosed))
	}
	if err := j.add(entry); err != nil {
		return r.fail(inFile(name, err))
	}
	return nil
}

// Rejected returns how many samples rejected.jsonl stands for, those before a
// restart included.
func (r *Run) Rejected() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rejected
}

// GaveUp tells whether reading was given up for one of those samples, so that the
// run's digests cannot be compared with those of others.
func (r *Run) GaveUp() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.givenUp
}

// Checkpoint writes what the run is after step steps; when it returns, that is
// durable. Tensors are named group.name, each group a file. The cursor is any
// JSON value; in an object the field position, a batch.Position, is the first
// row not trained yet, to which rejected.jsonl is cut back on resume, and the field
// epoch_steps, if it is above 0, says that the end of the epoch under way is not in the
// metrics: an entry of this step with that field is cut off too. A second
// checkpoint of the same step writes nothing: a step has one state.
func (r *Run) Checkpoint(step int, s batch.State) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.metrics == nil {
		return r.fail(fmt.Errorf("checkpoint: %w", os.ErrClosed))
	}
	if step < 0 || step < r.step {
		return r.fail(fmt.Errorf("checkpoint: step %d, the newest is of step %d", step, r.step))
	}
	if step == r.step {
		return nil
	}
	// What was logged up to here must not be less durable than the checkpoint.
	if err := errors.Join(r.metrics.f.Sync(), r.rejects.f.Sync()); err != nil {
		return r.fail(fmt.Errorf("checkpoint: step %d: %w", step, err))
	}
	dir := r.path(checkpointsDir)
	if err := writeCheckpoint(r.disk, dir, step, s, r.config); err != nil {
		return r.fail(fmt.Errorf("checkpoint: step %d: %w", step, err))
	}
	r.step = step
	if err := pruneCheckpoints(r.disk, dir, r.keep); err != nil {
		return r.fail(fmt.Errorf("checkpoint: remove old: %w", err))
	}
	return nil
}

// Finish writes the summary. Without s.Finished the run can be resumed.
func (r *Run) Finish(s Summary) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.metrics == nil {
		return r.fail(inFile(summaryFile, os.ErrClosed))
	}
	if err := errors.Join(r.metrics.f.Sync(), r.rejects.f.Sync(), writeSummary(r.disk, r.dir, s)); err != nil {
		return r.fail(err)
	}
	return nil
}

// Close closes the files and gives the lock back.
func (r *Run) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var err error
	for _, j := range []*journal{r.metrics, r.rejects} {
		if j != nil {
			err = errors.Join(err, j.f.Close())
		}
	}
	r.metrics, r.rejects = nil, nil
	if r.lock != nil {
		err = errors.Join(err, r.lock.Close())
		r.lock = nil
	}
	if err != nil {
		return r.fail(err)
	}
	return nil
}

func (r *Run) path(name string) string { return filepath.Join(r.dir, name) }

// errAt names the run directory in an error.
func inRun(dir string, err error) error { return fmt.Errorf("sink: run %s: %w", dir, err) }

func inFile(name string, err error) error { return fmt.Errorf("%s: %w", name, err) }
