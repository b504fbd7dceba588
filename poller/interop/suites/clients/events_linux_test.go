//go:build linux

package clients

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// eventClients read event streams. Each says when it has heard some events, and then that it is back, behind all that it had, or, as curl, what came last.
var eventClients = []struct {
	client
	back string
}{
	{client{"curl", func(t *testing.T, addr string) *program {
		return start(t, "", need(t, "curl", "make deps, or apt-get install curl"), "-sSN", "--fail", "--write-out", "ended with %{exitcode}\\n", "http://"+addr+"/events?ms=50")
	}}, "ended with 0"},
	{client{"npm eventsource", func(t *testing.T, addr string) *program {
		return start(t, modules, need(t, "node", "install Node"), "eventsource_client.js", "http://"+addr+"/events?ms=50")
	}}, "back"},
	{client{"Chromium", func(t *testing.T, addr string) *program { return browse(t, addr, "events.html") }}, "back"},
}

// eventFronts are the fronts, and nginx as it is without a word about HTTP's version.
var eventFronts = append(fronts[:len(fronts):len(fronts)], front{"through nginx by HTTP/1.0", func(t *testing.T, addr string) string { return nginx(t, addr, "") }})

// Each client hears events as they come, is told to come back when the server drains, and is, with a successor, without having heard anything twice.
func TestEventClients(t *testing.T) {
	if testing.Short() {
		t.Skip("with -short no programs of others are run; make interop runs them")
	}
	for _, f := range eventFronts {
		for _, c := range eventClients {
			t.Run(c.name+", "+f.name, func(t *testing.T) {
				root, err := filepath.Abs("testdata")
				if err != nil {
					t.Fatal(err)
				}
				addr := freePort(t)
				serve := func() *program {
					s := start(t, "", command, "serve", "--addr", addr, "--reuseport", "--root", root, "--drain-timeout", "1m")
					s.expect(t, "listening on ")
					return s
				}
				s := serve()
				p := c.start(t, f.start(t, addr))
				if c.name == "curl" {
					for range 5 {
						p.expect(t, "data: 20")
					}
				} else {
					p.expect(t, "heard 5")
				}
				serve() // before, as a proxy answers for a server that is not there, and that is final
				if err := s.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
					t.Fatal(err)
				}
				if c.name == "curl" {
					p.expect(t, "retry: ")
				}
				if line := p.expect(t, c.back); strings.Contains(line, "wrong") {
					t.Errorf("the client says %q", line)
				}
				s.expect(t, "left, ours        none")
			})
		}
	}
}
