//go:build linux

// Package sockdiagtest is what tests have in common that use package sockdiag. That package's own tests cannot import it.
package sockdiagtest

import (
	"testing"

	"rstserver/internal/lingertest"
	"rstserver/linger/sockdiag"
)

// NeedDestroy skips a test that leaves TIME_WAIT, each of which would take a minute, where they cannot be destroyed.
func NeedDestroy(t testing.TB) {
	t.Helper()
	if err := sockdiag.CanDestroy(); err != nil {
		t.Skipf("needs CAP_NET_ADMIN and a kernel with CONFIG_INET_DIAG_DESTROY (run the tests as root): %v", err)
	}
}

// Count counts what is on a port.
func Count(t testing.TB, port uint16) sockdiag.Counts {
	t.Helper()
	c, _, err := sockdiag.Count(port)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// WaitCount waits until what is on a port is want.
func WaitCount(t testing.TB, port uint16, want sockdiag.Counts) {
	t.Helper()
	lingertest.Wait(t, want.String(), func() bool { return Count(t, port) == want })
}

// Closed counts the TIME_WAITs on a port that clients of lingertest.DialEach have left there. Those of clients of other programs, which
// the kernel has given the same port, come and go.
func Closed(t testing.TB, port uint16) (n int) {
	t.Helper()
	_, err := sockdiag.Each(port, func(s *sockdiag.Socket) bool {
		if s.State == sockdiag.TimeWait && lingertest.EachFrom.Contains(s.Remote.Addr()) {
			n++
		}
		return true
	})
	lingertest.Must(t, err)
	return n
}
