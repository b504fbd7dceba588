//go:build linux

package bench

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/bench/internal/fleet"
	"rstserver/bench/kinds"
	"rstserver/internal/lingertest"
)

// control is a connection by which the handler is told what to do.
type control struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func dialControl(t testing.TB, addr netip.AddrPort) *control {
	t.Helper()
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &control{t, c, bufio.NewReader(c)}
}

func (c *control) ask(target string) string {
	c.t.Helper()
	_ = c.SetDeadline(time.Now().Add(lingertest.Patience))
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: bench\r\n\r\n", target); err != nil {
		c.t.Fatalf("%s: %v", target, err)
	}
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		c.t.Fatalf("%s: %v", target, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		c.t.Fatalf("%s: %s, %v", target, resp.Status, err)
	}
	return string(body)
}

// opening is a number of fleets of idle connections on their way.
type opening struct {
	fleets []*fleet.Fleet
	errs   []error
	all    sync.WaitGroup
}

// openAll opens n connections in each of several fleets at a time.
func openAll(addr netip.AddrPort, fleets, n int) *opening {
	o := &opening{fleets: make([]*fleet.Fleet, fleets), errs: make([]error, fleets)}
	for i := range fleets {
		o.all.Go(func() { o.fleets[i], o.errs[i] = open(addr, fleet.All(n, kinds.Idle)) })
	}
	return o
}

// served expects that all of them are served, and still are.
func (o *opening) served(t *testing.T) {
	t.Helper()
	o.all.Wait()
	for i, f := range o.fleets {
		if o.errs[i] != nil {
			t.Error(o.errs[i])
			continue
		}
		if err := f.Repeat(kinds.Idle, patience); err != nil {
			t.Error(err)
		}
		f.Close()
	}
}

// A handler that uses up the descriptors costs no client its connection: those who are there are served, and those who come
// are kept waiting until there are descriptors again.
func TestDescriptors(t *testing.T) {
	const fleets = 3
	limit, scale := 12_000, 1
	if testing.Short() {
		limit, scale = 3_000, 4
	}
	tests := []struct {
		name                  string
		before, during, after int // clients, in fleets
		files                 int
		all                   bool // there are not so many
	}{
		{name: "files first", files: 10_000 / scale, after: 800 / scale},
		{name: "clients first", before: 800 / scale, files: limit, after: 30, all: true},
		{name: "all at a time", before: 150 / scale, during: 500 / scale, files: limit, after: 30, all: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			stderr := &lingertest.Output{}
			server := peer("hoarder")
			server.Env = append(server.Env, fmt.Sprint(hoarderVariable, "=", limit))
			p := startServer(t, server, stderr)
			c := dialControl(t, p.Addr)
			before := openAll(p.Addr, fleets, tt.before)
			before.all.Wait()
			during := openAll(p.Addr, fleets, tt.during)
			got := c.ask(fmt.Sprintf("/open?n=%d", tt.files))
			if ranOut := strings.Contains(got, unix.EMFILE.Error()); ranOut != tt.all {
				t.Fatalf("the handler: %s; want that it runs out of descriptors: %v", got, tt.all)
			}
			after := openAll(p.Addr, fleets, tt.after)
			lingertest.Wait(t, "accepting pauses", func() bool { return strings.Contains(stderr.String(), "accepting pauses") })
			c.ask("/close")
			for _, o := range []*opening{before, during, after} {
				o.served(t)
			}
			if strings.Contains(stderr.String(), "ended unasked") {
				t.Errorf("an event loop has ended: %s", stderr)
			}
		})
	}
}
