package main

import (
	"cmp"
	"strings"
	"testing"

	"rstserver/internal/restartload"
)

// Behind a proxy that keeps connections to the server, no GET fails by a handover. What becomes of POST, which no proxy repeats, is told.
func TestHandoverBehindProxies(t *testing.T) {
	n, scale := cmp.Or(*handovers, 9), 1
	if testing.Short() {
		n, scale = cmp.Or(*handovers, 2), 8
	}
	for _, file := range []string{"nginx.conf", "haproxy.cfg"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			// In the place of all three.
			one := newSubnet()
			d := startDynasty(t, "--addr", one.in("10.0.0.11:8080"), "--health", one.in("10.0.0.11:9900"))
			config := one.in(strings.NewReplacer("10.0.0.12:", "10.0.0.11:", "10.0.0.13:", "10.0.0.11:").Replace(proxyFile(t, file)))
			startProxy(t, config, issue(t, nil, "test"))
			result := underLoad(t, d, restartload.Config{Addr: one.in("10.0.0.10:8000"), New: 64 / scale, Kept: 64 / scale, PostPath: "/echo"}, n)
			posts := 0
			for _, lost := range result.Lost {
				if lost.Kind == restartload.Kept {
					posts++
				} else {
					t.Errorf("a GET has failed: %v", lost.Err)
				}
			}
			t.Logf("%d of %d POST have failed", posts, len(result.Of(restartload.Kept))+posts)
		})
	}
}
