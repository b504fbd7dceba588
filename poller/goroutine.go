package poller

import (
	"bytes"
	"runtime"
)

// goroutineID is what tells the calling goroutine from all others, from the first line of its stack trace: "goroutine 18
// [running]:". There is no other way to ask for it.
func goroutineID() []byte {
	var buf [64]byte
	trace := buf[:runtime.Stack(buf[:], false)]
	trace = bytes.TrimPrefix(trace, []byte("goroutine "))
	id, _, _ := bytes.Cut(trace, []byte(" "))
	return bytes.Clone(id)
}
