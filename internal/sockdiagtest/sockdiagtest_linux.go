//go:build linux

// Package sockdiagtest is what tests have in common that use package sockdiag. That package's own tests cannot import it.
package sockdiagtest

import (
	"testing"

	"rstserver/linger/sockdiag"
)

// NeedDestroy skips a test that leaves TIME_WAIT, each of which would take a minute, where they cannot be destroyed.
func NeedDestroy(t testing.TB) {
	t.Helper()
	if err := sockdiag.CanDestroy(); err != nil {
		t.Skipf("needs CAP_NET_ADMIN and a kernel with CONFIG_INET_DIAG_DESTROY (run the tests as root): %v", err)
	}
}
