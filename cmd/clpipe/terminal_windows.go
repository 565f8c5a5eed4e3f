package main

import (
	"os"

	"golang.org/x/sys/windows"
)

// isTerminal reports whether f is a console.
func isTerminal(f *os.File) bool {
	var mode uint32
	return windows.GetConsoleMode(windows.Handle(f.Fd()), &mode) == nil
}

// hasRoom reports whether lines can be drawn on a console: all have a size.
func hasRoom(f *os.File) bool { return isTerminal(f) }
