package sink

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// crashDisk is a disk that loses its power at the n-th call. From then on every
// call fails; crash takes back all that was not synced: content of files, names
// in directories, renames. It knows the worst a file system may do.
type crashDisk struct {
	left   int             // calls until the power goes, < 0: never
	err    error           // what calls fail with, errPower if nil
	once   bool            // only one call fails: a full disk, not a crash
	calls  []string        // what was called
	synced map[string]int  // bytes that are durable, by path
	names  map[string]bool // paths made or renamed to whose directory was not synced
	undo   []rename
}

type rename struct {
	from, to string
	before   []byte // of a file at to, if there was one
	existed  bool
}

var errPower = errors.New("power lost")

func newCrashDisk(left int) *crashDisk {
	return &crashDisk{left: left, synced: map[string]int{}, names: map[string]bool{}}
}

func (d *crashDisk) call(what, path string) error {
	d.calls = append(d.calls, what+" "+filepath.Base(path))
	if d.left < 0 {
		return nil
	}
	if d.left > 0 {
		d.left--
		return nil
	}
	if d.once {
		d.left = -1
	}
	cause := d.err
	if cause == nil {
		cause = errPower
	}
	return &os.PathError{Op: what, Path: path, Err: cause}
}

func (d *crashDisk) MkdirAll(dir string) error {
	if err := d.call("mkdir", dir); err != nil {
		return err
	}
	if _, err := os.Stat(dir); err != nil {
		d.names[dir] = true
	}
	return os.MkdirAll(dir, 0o777)
}

func (d *crashDisk) Create(path string) (file, error) {
	return d.open("create", path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
}

func (d *crashDisk) Append(path string) (file, error) {
	return d.open("append", path, os.O_WRONLY|os.O_CREATE|os.O_APPEND)
}

func (d *crashDisk) open(what, path string, flag int) (file, error) {
	if err := d.call(what, path); err != nil {
		return nil, err
	}
	if info, err := os.Stat(path); err != nil {
		d.names[path] = true
		d.synced[path] = 0
	} else if flag&os.O_APPEND != 0 {
		d.synced[path] = int(info.Size())
	} else {
		d.synced[path] = 0
	}
	f, err := os.OpenFile(path, flag, 0o666)
	return &crashFile{d, f, path}, err
}

func (d *crashDisk) Rename(from, to string) error {
	if err := d.call("rename", to); err != nil {
		return err
	}
	before, err := os.ReadFile(to)
	d.undo = append(d.undo, rename{from, to, before, err == nil})
	if err := os.Rename(from, to); err != nil {
		return err
	}
	d.move(from, to)
	return nil
}

// move tells the maps that a file or directory has another name.
func (d *crashDisk) move(from, to string) {
	for path, n := range d.synced {
		if rest, ok := strings.CutPrefix(path, from); ok && (rest == "" || rest[0] == filepath.Separator) {
			delete(d.synced, path)
			d.synced[to+rest] = n
		}
	}
	for path := range d.names {
		if rest, ok := strings.CutPrefix(path, from); ok && (rest == "" || rest[0] == filepath.Separator) {
			delete(d.names, path)
			d.names[to+rest] = true
		}
	}
}

func (d *crashDisk) RemoveAll(path string) error {
	if err := d.call("remove", path); err != nil {
		return err
	}
	d.undo = slices.DeleteFunc(d.undo, func(r rename) bool { return r.to == path })
	return os.RemoveAll(path)
}

func (d *crashDisk) SyncDir(dir string) error {
	if err := d.call("syncdir", dir); err != nil {
		return err
	}
	for path := range d.names {
		if filepath.Dir(path) == dir {
			delete(d.names, path)
		}
	}
	d.undo = slices.DeleteFunc(d.undo, func(r rename) bool { return filepath.Dir(r.to) == dir })
	return nil
}

// crash takes back what was not synced.
func (d *crashDisk) crash() error {
	for _, r := range slices.Backward(d.undo) {
		if err := os.Rename(r.to, r.from); err != nil {
			return err
		}
		d.move(r.to, r.from)
		if r.existed {
			if err := os.WriteFile(r.to, r.before, 0o666); err != nil {
				return err
			}
		}
	}
	for path, n := range d.synced {
		if info, err := os.Stat(path); err == nil && info.Size() > int64(n) {
			if err := os.Truncate(path, int64(n)); err != nil {
				return err
			}
		}
	}
	for path := range d.names {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return nil
}

type crashFile struct {
	d    *crashDisk
	f    *os.File
	path string
}

// Write tears: the call that fails still writes half of what it was given.
func (f *crashFile) Write(p []byte) (int, error) {
	if err := f.d.call("write", f.path); err != nil {
		f.f.Write(p[:len(p)/2])
		return len(p) / 2, err
	}
	return f.f.Write(p)
}

func (f *crashFile) Sync() error {
	if err := f.d.call("sync", f.path); err != nil {
		return err
	}
	info, err := f.f.Stat()
	if err != nil {
		return err
	}
	f.d.synced[f.path] = int(info.Size())
	return nil
}

func (f *crashFile) Close() error {
	return errors.Join(f.d.call("close", f.path), f.f.Close())
}
