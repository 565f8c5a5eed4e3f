package sink

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
)

// A Summary says how a run ended: the content of summary.json.
type Summary struct {
	Digests  Digests `json:"digests"`
	Steps    int     `json:"steps"`   // trained, in all sessions of the run
	Epochs   float64 `json:"epochs"`  // trained
	Samples  int64   `json:"samples"` // trained, each counted once an epoch
	Rejected int     `json:"rejected"`
	// Comparable is false if part of a shard was given up, so that another run
	// of the same configuration may have seen other samples.
	Comparable bool `json:"comparable"`
	// Finished is false if the run was interrupted and can be resumed.
	Finished    bool              `json:"finished"`
	WallSeconds float64           `json:"wall_seconds"`       // of training, in all sessions
	Versions    map[string]string `json:"versions,omitempty"` // of what made the result, as "clpipe", "go", "kernel"
}

// Digests are equal for two runs that did the same.
type Digests struct {
	Order   string `json:"order"`   // chained hash of the trained ids
	Weights string `json:"weights"` // batch.State.Digest of the last checkpoint
}

// ReadSummary reads the summary of a run directory. It returns nil if the run
// has written none.
func ReadSummary(dir string) (*Summary, error) {
	s, err := readSummary(dir)
	if err != nil {
		return nil, inRun(dir, err)
	}
	return s, nil
}

func readSummary(dir string) (*Summary, error) {
	text, err := os.ReadFile(filepath.Join(dir, summaryFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var s Summary
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, inFile(summaryFile, err)
	}
	return &s, nil
}

func writeSummary(d disk, dir string, s Summary) error {
	return replaceFile(d, filepath.Join(dir, summaryFile), func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(s)
	})
}
