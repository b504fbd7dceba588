//go:build linux

package bench

import (
	"testing"

	"rstserver/internal/lingertest"
)

// A message comes to all, and what that took is measured.
func TestBroadcast(t *testing.T) {
	b := Broadcast{Servers: []Server{ours()}, N: 30, Bytes: 200, Rounds: 2, Messages: 3, Patience: patience}
	all, err := b.Measure(t.Context())
	if err != nil || len(all) != 1 || len(all[0].Last) != 6 || len(all[0].CPU) != 2 || len(all[0].Memory) != 2 || Median(all[0].Last) <= 0 {
		t.Errorf("Measure = %+v, %v", all, err)
	}
	_, err = Broadcast{Servers: []Server{peer("nethttp-close")}, N: 1}.Measure(t.Context())
	lingertest.ExpectError(t, err, "room=PATH")
	b.N = 1 << 30
	_, err = b.Measure(t.Context())
	lingertest.ExpectError(t, err, "limit of open files")
}
