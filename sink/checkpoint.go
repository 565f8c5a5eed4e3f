package sink

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"clpipe/batch"

	"gorgonia.org/tensor"
)

// A Checkpoint is what a run was at a step, on disk. Its files matched their
// sums when it was opened.
type Checkpoint struct {
	Path string
	Step int
	// Position is the cursor's field of that name: the first row not trained
	// yet. It is nil if the cursor has none.
	Position *batch.Position

	epochSteps int // the cursor's field epoch_steps, see Run.Checkpoint
	cursor     json.RawMessage
	groups     []string
}

// stateFile is the content of state.json.
type stateFile struct {
	Format int             `json:"format"`
	Step   int             `json:"step"`
	Groups []string        `json:"groups"` // of tensors, each a file
	Cursor json.RawMessage `json:"cursor"`
}

const (
	stateFormat = 1

	stateName     = "state.json"
	sumsName      = "SHA256SUMS"
	tensorsSuffix = ".safetensors"
	stepPrefix    = "step-"
	refusedSuffix = ".refused"
)

// Latest returns the newest intact checkpoint of a run directory, nil if there
// is none yet. Newer ones that had to be refused are returned as errors; if
// there are only such, the last error says so. It takes no lock: a run under
// way may be looked at.
func Latest(dir string) (c *Checkpoint, refused []error, err error) {
	c, refused, err = latest(filepath.Join(dir, checkpointsDir))
	if err != nil {
		err = inRun(dir, err)
	}
	return c, refused, err
}

func latest(dir string) (c *Checkpoint, refused []error, err error) {
	steps, err := listCheckpoints(dir)
	if err != nil {
		return nil, nil, err
	}
	for _, step := range slices.Backward(steps) {
		c, err := openCheckpoint(dir, step)
		if err == nil {
			return c, refused, nil
		}
		refused = append(refused, err)
	}
	if len(refused) > 0 {
		return nil, refused, fmt.Errorf("no checkpoint is intact: %w", errors.Join(refused...))
	}
	return nil, nil, nil
}

// Load reads all tensors. Their names begin with that of their group again.
func (c *Checkpoint) Load() (batch.State, error) {
	s := batch.State{Cursor: c.cursor}
	for _, g := range c.groups {
		group, err := c.Group(g)
		if err != nil {
			return batch.State{}, err
		}
		s.Add(g+".", group)
	}
	return s, nil
}

// Group reads the tensors of one group, as "encoder_q", under the names they
// have within it.
func (c *Checkpoint) Group(name string) (batch.State, error) {
	if !slices.Contains(c.groups, name) {
		return batch.State{}, fmt.Errorf("sink: checkpoint %s: it has no %q, only %s", c.Path, name, strings.Join(c.groups, ", "))
	}
	return ReadSafetensors(filepath.Join(c.Path, name+tensorsSuffix))
}

// Config returns the configuration that led to the checkpoint.
func (c *Checkpoint) Config() ([]byte, error) { return os.ReadFile(filepath.Join(c.Path, ConfigFile)) }

func stepName(step int) string { return fmt.Sprintf("%s%08d", stepPrefix, step) }

func stepOfName(name string) (step int, ok bool) {
	step, err := strconv.Atoi(strings.TrimPrefix(name, stepPrefix))
	return step, err == nil && name == stepName(step)
}

// listCheckpoints returns the steps of all finished checkpoints, ascending.
func listCheckpoints(dir string) ([]int, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var steps []int
	for _, e := range entries {
		if step, ok := stepOfName(e.Name()); ok && e.IsDir() {
			steps = append(steps, step)
		}
	}
	slices.Sort(steps)
	return steps, nil
}

// openCheckpoint checks every file against its sum.
func openCheckpoint(dir string, step int) (*Checkpoint, error) {
	path := filepath.Join(dir, stepName(step))
	c, err := verifyCheckpoint(path)
	if err == nil && c.Step != step {
		err = fmt.Errorf("%s: it is of step %d", stateName, c.Step)
	}
	if err != nil {
		return nil, fmt.Errorf("checkpoint %s refused: %w", path, err)
	}
	return c, nil
}

func verifyCheckpoint(path string) (*Checkpoint, error) {
	sums, err := readSums(path)
	if err != nil {
		return nil, err
	}
	c := &Checkpoint{Path: path, groups: []string{}}
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		got, err := sumOf(filepath.Join(path, name))
		if err != nil {
			return nil, err
		}
		if got != sums[name] {
			return nil, fmt.Errorf("%s: it was altered or cut off: SHA-256 %.16s…, want %.16s…", name, got, sums[name])
		}
		if group, ok := strings.CutSuffix(name, tensorsSuffix); ok {
			c.groups = append(c.groups, group)
		}
	}
	if _, ok := sums[stateName]; !ok {
		return nil, fmt.Errorf("%s: it does not list %s", sumsName, stateName)
	}
	text, err := os.ReadFile(filepath.Join(path, stateName))
	if err != nil {
		return nil, err
	}
	var state stateFile
	if err := json.Unmarshal(text, &state); err != nil {
		return nil, fmt.Errorf("%s: %w", stateName, err)
	}
	if state.Format != stateFormat {
		return nil, fmt.Errorf("%s: format %d, want %d: another version of clpipe has written it", stateName, state.Format, stateFormat)
	}
	if !slices.Equal(c.groups, state.Groups) {
		return nil, fmt.Errorf("%s: it lists tensors of %q, want %q", sumsName, c.groups, state.Groups)
	}
	c.Step, c.cursor = state.Step, state.Cursor
	fields, err := fieldsOf(state.Cursor)
	c.Position, c.epochSteps = fields.Position, fields.EpochSteps
	return c, err
}

// cursorFields are what a run directory reads of a cursor.
type cursorFields struct {
	Position   *batch.Position `json:"position"`
	EpochSteps int             `json:"epoch_steps"`
}

// fieldsOf returns those that the cursor has. A cursor may be any JSON value: all
// else in it is its owner's.
func fieldsOf(cursor json.RawMessage) (cursorFields, error) {
	var fields cursorFields
	if !bytes.HasPrefix(bytes.TrimSpace(cursor), []byte("{")) {
		return fields, nil
	}
	if err := json.Unmarshal(cursor, &fields); err != nil {
		return fields, fmt.Errorf("cursor: %w", err)
	}
	return fields, nil
}

// readSums reads SHA256SUMS, lines of a sum in hexadecimal, two spaces, name.
func readSums(path string) (map[string]string, error) {
	text, err := os.ReadFile(filepath.Join(path, sumsName))
	if err != nil {
		return nil, err
	}
	sums := map[string]string{}
	for line := range strings.Lines(string(text)) {
		sum, rest, _ := strings.Cut(line, "  ")
		name, whole := strings.CutSuffix(rest, "\n")
		if !whole || len(sum) != 2*sha256.Size || name == "" || name != filepath.Base(name) {
			return nil, fmt.Errorf("%s: line %.100q: want a SHA-256 and a name", sumsName, line)
		}
		sums[name] = sum
	}
	return sums, nil
}

func sumOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// writeCheckpoint leaves a durable checkpoint in dir, or none.
func writeCheckpoint(d disk, dir string, step int, s batch.State, config []byte) error {
	final := filepath.Join(dir, stepName(step))
	tmp := final + tmpSuffix
	err := fillCheckpoint(d, tmp, step, s, config)
	if err == nil {
		err = d.Rename(tmp, final)
	}
	if err != nil {
		d.RemoveAll(tmp) // gives a full disk back what it took; the first error says more
		return err
	}
	return d.SyncDir(dir)
}

func fillCheckpoint(d disk, tmp string, step int, s batch.State, config []byte) error {
	groups, err := groupTensors(s)
	if err != nil {
		return err
	}
	names := slices.Sorted(maps.Keys(groups))
	state, err := json.MarshalIndent(stateFile{stateFormat, step, names, s.Cursor}, "", "  ")
	if err != nil {
		return fmt.Errorf("cursor: %w", err)
	}
	if _, err := fieldsOf(s.Cursor); err != nil {
		return err
	}
	if err := d.RemoveAll(tmp); err != nil {
		return err
	}
	if err := d.MkdirAll(tmp); err != nil {
		return err
	}

	var sums bytes.Buffer
	put := func(name string, write func(io.Writer) error) error {
		h := sha256.New()
		err := writeFile(d, filepath.Join(tmp, name), func(w io.Writer) error { return write(io.MultiWriter(w, h)) })
		fmt.Fprintf(&sums, "%x  %s\n", h.Sum(nil), name)
		return err
	}
	for _, name := range names {
		err := put(name+tensorsSuffix, func(w io.Writer) error { return encodeSafetensors(w, groups[name], nil) })
		if err != nil {
			return err
		}
	}
	if err := put(stateName, writes(append(state, '\n'))); err != nil {
		return err
	}
	if err := put(ConfigFile, writes(config)); err != nil {
		return err
	}
	if err := writeFile(d, filepath.Join(tmp, sumsName), writes(sums.Bytes())); err != nil {
		return err
	}
	return d.SyncDir(tmp)
}

// groupTensors parts a state by the first part of the tensors' names.
func groupTensors(s batch.State) (map[string]batch.State, error) {
	groups := map[string]batch.State{}
	for name, t := range s.Tensors {
		group, rest, ok := strings.Cut(name, ".")
		if !ok || rest == "" || !isGroupName(group) {
			return nil, fmt.Errorf("tensor %q: want a name of the form group.name, the group of letters, digits, _ and -", name)
		}
		if groups[group].Tensors == nil {
			groups[group] = batch.State{Tensors: map[string]*tensor.Dense{}}
		}
		groups[group].Tensors[rest] = t
	}
	return groups, nil
}

// isGroupName reports whether a group can name a file on every system.
func isGroupName(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == ""
}

// pruneCheckpoints removes all but the newest keep checkpoints.
func pruneCheckpoints(d disk, dir string, keep int) error {
	steps, err := listCheckpoints(dir)
	if err != nil {
		return err
	}
	for _, step := range steps[:max(0, len(steps)-keep)] {
		// Renamed first, for what is half removed is no checkpoint.
		path := filepath.Join(dir, stepName(step))
		if err := d.Rename(path, path+tmpSuffix); err != nil {
			return err
		}
		if err := d.RemoveAll(path + tmpSuffix); err != nil {
			return err
		}
	}
	return nil
}
