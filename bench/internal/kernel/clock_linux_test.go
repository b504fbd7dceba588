//go:build linux

package kernel

import (
	"testing"
	"time"
)

// What one clock says and the lead come to what the other says.
func TestLead(t *testing.T) {
	before := time.Now()
	at := time.Unix(0, int64(Now()+Lead()))
	after := time.Now()
	const exact = time.Second // more than what the machine's clock is kept right by meanwhile
	if at.Before(before.Add(-exact)) || at.After(after.Add(exact)) {
		t.Errorf("the other clock says %s, want %s to %s", at, before, after)
	}
}
