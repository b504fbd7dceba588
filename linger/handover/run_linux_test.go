//go:build linux

package handover

import "testing"

// A server whose last connection has ended serves again if its successor is lost, whichever of the two is seen first.
func TestLostAtTheEnd(t *testing.T) {
	closed, open := make(chan struct{}), make(chan struct{})
	close(closed)
	for range 100 { // select picks at random
		if term := (&term{ended: closed}); !term.isLeft(closed) {
			t.Fatal("nobody serves, as the end of the server came before the loss of its successor")
		}
	}
	if term := (&term{ended: closed}); term.isLeft(open) {
		t.Error("a server serves again although its successor lives")
	}
	if term := (&term{ended: open}); !term.isLeft(closed) {
		t.Error("nobody serves though the successor is lost")
	}
}
