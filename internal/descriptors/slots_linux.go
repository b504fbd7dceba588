//go:build linux

// Package descriptors knows what the kernel tells of this process's table of descriptors.
package descriptors

import (
	"errors"
	"os"
	"strconv"
	"strings"
)

// Slots returns how many descriptors the table has room for at present (FDSize of /proc/self/status, proc(5)): every number in use is
// below. It grows with the highest number that was in use, unlike the limit of open files, which may be a thousand million.
func Slots() (int, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if size, ok := strings.CutPrefix(line, "FDSize:"); ok {
			return strconv.Atoi(strings.TrimSpace(size))
		}
	}
	return 0, errors.New("/proc/self/status has no FDSize")
}
