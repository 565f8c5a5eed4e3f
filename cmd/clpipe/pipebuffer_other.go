//go:build !linux

package main

import "os"

// enlargePipe does nothing: only Linux lets a pipe's buffer be chosen.
func enlargePipe(*os.File) {}
