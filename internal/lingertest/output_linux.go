//go:build linux

package lingertest

import (
	"bytes"
	"strings"
	"sync"
)

// Output is what a process, or a server, writes, and can be read meanwhile.
type Output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// Contains reports whether s has been written so far.
func (o *Output) Contains(s string) bool { return strings.Contains(o.String(), s) }
