//go:build linux

package lingertest

import (
	"os"
	"syscall"
	"testing"
)

// InstallProgram puts a program file to path, in the place of what is there, whoever runs that. No child of this process gets to have the file
// open for writing, which would keep it from being executed (ETXTBSY, execve(2)).
func InstallProgram(t testing.TB, path string, content []byte) {
	t.Helper()
	syscall.ForkLock.RLock()
	err := os.WriteFile(path+".new", content, 0o755)
	syscall.ForkLock.RUnlock()
	Must(t, err)
	Must(t, os.Rename(path+".new", path))
}
