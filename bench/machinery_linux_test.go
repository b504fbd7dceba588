//go:build linux

package bench

import (
	"errors"
	"os/exec"
	"testing"

	"rstserver/bench/internal/fleet"
	"rstserver/bench/kinds"
	"rstserver/internal/lingertest"
)

// A process of clients that ends by itself is no fault of the server's.
func TestClientsEnd(t *testing.T) {
	r := run{Server: onKnownPort(t, faulty("none")), Mix: fleet.All(10, kinds.Idle), Clients: func() *exec.Cmd { return exec.Command("true") }}
	_, err := r.measure(t.Context())
	var f *failure
	lingertest.ExpectError(t, err, "a process of clients")
	if errors.As(err, &f) {
		t.Errorf("%v is the server's failure", err)
	}
	expectNothingOf(t, r.Server)
	r.Clients = func() *exec.Cmd { return exec.Command("/no/such/program") }
	_, err = r.measure(t.Context())
	lingertest.ExpectError(t, err, "starting a process of clients", "/no/such/program")
	expectNothingOf(t, r.Server)
}
