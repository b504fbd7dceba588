//go:build linux

package sockdiag

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	before := openDescriptors()
	code := m.Run()
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, "leaked goroutines:", err)
		code = max(code, 1)
	}
	if after := openDescriptors(); after > before {
		fmt.Fprintf(os.Stderr, "leaked descriptors: %d before the tests, %d after\n", before, after)
		code = max(code, 1)
	}
	os.Exit(code)
}

// openDescriptors opens an epoll descriptor of the runtime's first, which is there to stay.
func openDescriptors() int {
	if r, w, err := os.Pipe(); err == nil {
		r.Close()
		w.Close()
	}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		panic(err)
	}
	return len(fds)
}
