package main

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestNoLiveLinesWithoutRoom asks for live lines on a terminal that does not know its
// size, as a new one does not, and on one that does.
func TestNoLiveLinesWithoutRoom(t *testing.T) {
	t.Setenv("TERM", "xterm")
	other, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no pseudo-terminals here: ", err)
	}
	defer other.Close()
	number, err := unix.IoctlGetInt(int(other.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(other.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Skip("no pseudo-terminals here: ", err)
	}
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudo-terminals here: ", err)
	}
	defer terminal.Close()
	if liveBars(&screen{file: terminal}, false) != nil {
		t.Error("live lines on a terminal of no size: want plain ones")
	}
	if err := unix.IoctlSetWinsize(int(other.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}); err != nil {
		t.Fatal(err)
	}
	bars := liveBars(&screen{file: terminal}, false)
	if bars == nil {
		t.Fatal("no live lines on a terminal of 24 lines")
	}
	bars.Wait()
}
