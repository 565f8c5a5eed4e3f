package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// pipeBuffer is what a pipe should hold: as much as Linux grants any user
// (/proc/sys/fs/pipe-max-size), sixteen times what a pipe begins with.
const pipeBuffer = 1 << 20

// enlargePipe makes f's buffer larger if f is a pipe, so that the two processes
// wait for each other less often. A pipe that stays as it was works as well.
func enlargePipe(f *os.File) {
	raw, err := f.SyscallConn() // unlike Fd it leaves the file's mode alone
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		if size, err := unix.FcntlInt(fd, unix.F_GETPIPE_SZ, 0); err == nil && size < pipeBuffer {
			_, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeBuffer)
		}
	})
}
