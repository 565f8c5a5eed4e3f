package cache

import (
	"os"

	"golang.org/x/sys/windows"
)

// lock waits until this open file holds the lock: of a byte far behind the text,
// since Windows keeps others from what is locked.
func lock(f *os.File) error {
	at := windows.Overlapped{OffsetHigh: 1}
	return windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK, 0, 1, 0, &at)
}
