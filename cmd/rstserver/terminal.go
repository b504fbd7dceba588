package main

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// questionTerminal returns the first of outs that a user at the terminal stdin can read, and nil if there is nobody to ask.
func questionTerminal(stdin *os.File, outs ...io.Writer) io.Writer {
	if !isTerminal(stdin) {
		return nil
	}
	for _, out := range outs {
		if isTerminal(out) {
			return out
		}
	}
	return nil
}

// isTerminal asks for the settings that only a terminal has (TCGETS, ioctl_tty(2)).
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
