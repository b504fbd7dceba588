//go:build linux

package lingertest

import "testing"

// Times returns how often a test does what differs from one time to the next: few times where tests run with -short, as make test
// runs them, and many where they do not, as in make soak.
func Times(few, many int) int {
	if testing.Short() {
		return few
	}
	return many
}
