package sink

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
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
