package sink

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"

	"clpipe/batch"
)

// A journal is a file of JSON lines that grows.
type journal struct{ f file }

func openJournal(d disk, path string) (*journal, error) {
	f, err := d.Append(path)
	if err != nil {
		return nil, err
	}
	return &journal{f}, nil
}

// add writes one line, in a single call: a killed process leaves at most one
// torn line, the last.
func (j *journal) add(entry any) error {
	line, err := json.Marshal(entry)
	if err != nil {
		return err
	}
	_, err = j.f.Write(append(line, '\n'))
	return err
}

// cutJournal drops the lines for which keep is false, and those that are torn.
func cutJournal(d disk, path string, keep func(line []byte) bool) error {
	kept, dropped, err := readJournal(path, keep)
	if err != nil || dropped == 0 {
		return err
	}
	return replaceFile(d, path, writes(kept))
}

// ReadMetrics calls f with every object of metrics.jsonl, in order: none if there
// is no such file. Lines that are torn, or not whole yet as a run goes on, are
// left out.
func ReadMetrics(dir string, f func(entry []byte) error) error {
	return eachLine(dir, metricsFile, f)
}

// ReadRejects returns what rejected.jsonl holds, likewise.
func ReadRejects(dir string) ([]batch.Reject, error) {
	var rejects []batch.Reject
	err := eachLine(dir, rejectedFile, func(line []byte) error {
		var r batch.Reject
		if err := json.Unmarshal(line, &r); err != nil {
			return err
		}
		rejects = append(rejects, r)
		return nil
	})
	return rejects, err
}

func eachLine(dir, name string, f func(line []byte) error) error {
	var failed error
	_, _, err := readJournal(filepath.Join(dir, name), func(line []byte) bool {
		if failed == nil {
			failed = f(line)
		}
		return false
	})
	if err = errors.Join(err, failed); err != nil {
		return inRun(dir, inFile(name, err))
	}
	return nil
}

func readJournal(path string, keep func(line []byte) bool) (kept []byte, dropped int, err error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	lines := bufio.NewReader(f)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, 0, err
		}
		switch {
		case len(line) == 0: // the end
		case line[len(line)-1] == '\n' && json.Valid(line) && keep(bytes.TrimSpace(line)):
			kept = append(kept, line...)
		default:
			dropped++
		}
		if err != nil {
			return kept, dropped, nil
		}
	}
}
