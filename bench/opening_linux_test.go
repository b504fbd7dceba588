//go:build linux

package bench

import (
	"context"
	"errors"
	"testing"

	"rstserver/bench/internal/fleet"
	"rstserver/bench/kinds"
	"rstserver/internal/lingertest"
)

// bare is the floor with its other end.
func bare() Server {
	s := peer("floor")
	s.Opener = []string{peerProgram(), openerCommand}
	return s
}

// The time that a bare pair of programs takes is measured where the clients do what it does, and nothing of the pair is left.
func TestPair(t *testing.T) {
	for mix, want := range map[string]bool{"idle": true, "idle=1,fresh=1": false} {
		t.Run(mix, func(t *testing.T) {
			const n = 40
			s := bare()
			rep, err := measure(t, run{Server: s, Mix: fleet.Of(shares(mix), n), Timeout: patience})
			if err != nil {
				t.Fatal(err)
			}
			if got := rep.Pair > 0; got != want || rep.Open <= 0 {
				t.Errorf("the pair took %s, the clients %s", rep.Pair, rep.Open)
			}
			expectTally(t, "told", rep.Endings, map[string]int{"reset": n})
			lingertest.ExpectNoChildren(t)
		})
	}
}

// Several processes of a pair share the connections.
func TestPairs(t *testing.T) {
	const n = 30
	r := run{Server: bare(), Mix: fleet.All(n, kinds.Idle), Processes: 2}.withDefaults()
	took, err := r.pair(t.Context(), 110) // of open files, of which a process of clients leaves a hundred
	if took <= 0 || err != nil {
		t.Errorf("it took %s, %v", took, err)
	}
	lingertest.ExpectNoChildren(t)
}

// A pair that comes to nothing is the server's failure, and says what its other end said.
func TestPairFails(t *testing.T) {
	s := bare()
	s.Opener = []string{"sh", "-c", "echo no sockets left >&2; exit 4"}
	rep, err := measure(t, run{Server: s, Mix: fleet.All(5, kinds.Idle)})
	expectFailure(t, err, "the other end of the pair has ended, with exit status 4: no sockets left")
	if !rep.At.IsZero() {
		t.Error("it was sent the signal")
	}
	lingertest.ExpectNoChildren(t)
}

// An end of ctx ends a pair that hangs.
func TestPairInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cut := errors.New("cut short")
	s := faulty("deaf-late")
	s.Opener = bare().Opener
	r := run{Server: s, Mix: fleet.All(100, kinds.Idle), Stderr: onWrite{func() { cancel(cut) }}}
	if _, err := r.measure(ctx); err != cut {
		t.Errorf("got %v, want %v", err, cut)
	}
	lingertest.ExpectNoChildren(t)
}
