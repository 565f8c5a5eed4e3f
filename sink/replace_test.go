//go:build unix

package sink_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"clpipe/sink"
)

// TestReplaceLosesNoMoreThanAFile names places that are no file: what they are
// stays.
func TestReplaceLosesNoMoreThanAFile(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	replace := func(name string) error {
		return sink.Replace(at(name), func(w io.Writer) error { _, err := io.WriteString(w, "new"); return err })
	}
	if err := os.WriteFile(at("file"), []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"to-file": "file", "to-nothing": "made", "to-device": os.DevNull} {
		if err := os.Symlink(to, at(link)); err != nil {
			t.Fatal(err)
		}
		if err := replace(link); err != nil {
			t.Errorf("%s: %v", link, err)
		}
		if got, err := os.Readlink(at(link)); got != to {
			t.Errorf("%s is no longer a link to %s: %q, %v", link, to, got, err)
		}
	}
	for _, name := range []string{"file", "made"} {
		if got, err := os.ReadFile(at(name)); string(got) != "new" {
			t.Errorf("%s holds %q, %v, want what was written through its link", name, got, err)
		}
	}

	if err := syscall.Mkfifo(at("fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	read := make(chan string, 1)
	go func() {
		text, err := os.ReadFile(at("fifo"))
		read <- fmt.Sprint(string(text), err)
	}()
	if err := replace("fifo"); err != nil {
		t.Fatal(err)
	}
	if got := <-read; got != "new<nil>" {
		t.Errorf("the reader of a named pipe got %q", got)
	}
	if info, err := os.Lstat(at("fifo")); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		t.Errorf("the named pipe is %v, %v", info, err)
	}
	// Who has opened a file is to find in it what is written to its name in /dev.
	opened, err := os.OpenFile(at("opened"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	if err := sink.Replace(fmt.Sprintf("/dev/fd/%d", opened.Fd()), func(w io.Writer) error { _, err := io.WriteString(w, "new"); return err }); err != nil {
		t.Fatal(err)
	}
	if info, err := opened.Stat(); err != nil || info.Size() != 3 {
		t.Errorf("the open file has %v, %v, want the 3 bytes that were written", info, err)
	}
	if err := replace("."); err == nil {
		t.Error("a directory was replaced")
	}
	if left, err := filepath.Glob(at("*.tmp")); len(left) > 0 || err != nil {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
