package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"rstserver/internal/lingertest"
)

// A connection that ends while the listener is closed keeps no descriptor back for nobody.
func TestKeptDescriptorsRace(t *testing.T) {
	for range 200 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		lingertest.Must(t, err)
		kept := keepDescriptors(ln)
		client, err := net.Dial("tcp", ln.Addr().String())
		lingertest.Must(t, err)
		c, err := kept.Accept()
		lingertest.Must(t, err)
		kept.give() // as for c, when there was no descriptor left
		var both sync.WaitGroup
		both.Go(func() { _ = c.Close() })
		both.Go(func() { _ = kept.Close() })
		both.Wait()
		_ = client.Close()
		if len(kept.kept) != 0 {
			t.Fatalf("%d descriptors are kept for a listener that is closed", len(kept.kept))
		}
	}
}

// What was given to nobody is kept again, and what was given to a client as soon as there is room, which may be before it leaves.
func TestKeptDescriptorsAgain(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	lingertest.Must(t, err)
	kept := keepDescriptors(ln)
	defer kept.Close()
	kept.give()
	lingertest.Wait(t, "all are kept", func() bool {
		kept.mu.Lock()
		defer kept.mu.Unlock()
		return len(kept.kept) == keptDescriptors
	})
}

// There are so many clients at a time and no more, and one more is let in: who asks for nothing goes, or else who came first.
func TestKeptListenerIsBounded(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	lingertest.Must(t, err)
	kept := keepDescriptors(ln)
	defer kept.Close()
	come := func() (client, served net.Conn) {
		client, err := net.Dial("tcp", ln.Addr().String())
		lingertest.Must(t, err)
		t.Cleanup(func() { _ = client.Close() })
		served, err = kept.Accept()
		lingertest.Must(t, err)
		t.Cleanup(func() { _ = served.Close() })
		return client, served
	}
	gone := func(c net.Conn) bool {
		lingertest.Must(t, c.SetReadDeadline(time.Now().Add(time.Millisecond)))
		_, err := c.Read(make([]byte, 1))
		return !errors.Is(err, os.ErrDeadlineExceeded)
	}
	var clients, all []net.Conn
	for range maxFrontClients {
		client, served := come()
		kept.note(served, http.StateActive)
		clients, all = append(clients, client), append(all, served)
	}
	kept.note(all[5], http.StateIdle)
	_, next := come()
	kept.note(next, http.StateActive)
	if lingertest.Wait(t, "who is idle goes", func() bool { return gone(clients[5]) }); gone(clients[0]) {
		t.Error("a client that asks goes before one that does not")
	}
	come()
	lingertest.Wait(t, "who came first goes", func() bool { return gone(clients[0]) })
	if gone(clients[1]) || len(kept.clients) != maxFrontClients {
		t.Errorf("%d clients are left, want %d", len(kept.clients), maxFrontClients)
	}
}

// When accept(2) fails with EMFILE, since the process has no descriptor left, it is seen and steered all the same.
func TestFrontWithoutDescriptors(t *testing.T) {
	t.Parallel()
	const limit = 120
	f := &fronted{t: t, admin: "unix:" + filepath.Join(t.TempDir(), "admin")}
	f.process = startLimited(t, strconv.Itoa(limit), "--health", "127.0.0.1:0", "--admin", f.admin)
	f.findHealth()
	lingertest.Wait(t, "the server accepts nobody", func() bool {
		dial(t, f.addr).expectHello()
		return f.scrape()("accepting") == 0
	})
	// The server leaves some to others, who take them now. Clients wait, who would take every one that seems to be free.
	for range 20 {
		dial(t, f.addr)
	}
	var accepted float64
	dir := fmt.Sprintf("/proc/%d/fd", f.cmd.Process.Pid)
	open := func() (all, kept int) {
		entries, err := os.ReadDir(dir)
		lingertest.Must(t, err)
		for _, e := range entries {
			if to, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil && to == os.DevNull {
				kept++
			}
		}
		return len(entries), kept
	}
	_, keeps := open()
	client := inside(f.admin)
	// What seemed to be open may have been about to be closed, so this is looked at each time. What is kept back is to be there again before
	// anybody takes what is left, or it would be taken in its place.
	full := func() {
		t.Helper()
		lingertest.Wait(t, "the process has no descriptor left, but for those it keeps back", func() bool {
			all, kept := open()
			if kept == keeps && all < limit {
				res, err := client.Get("http://x/events")
				lingertest.Must(t, err)
				t.Cleanup(func() { _ = res.Body.Close() })
			}
			return kept == keeps && all == limit
		})
	}
	const rounds = 30 // many more than are kept
	for i := range rounds {
		path := []string{"/livez", "/readyz", "/metrics"}[i%3]
		full()
		if status, text := get(t, f.health+path); status != 200 {
			t.Errorf("%s: %d %s", path, status, text)
		}
		if i == 0 {
			full()
			accepted = f.scrape()("connections_accepted_total")
		}
	}
	full()
	s := f.scrape()
	if n := s("connections_accepted_total") - accepted; n != 0 {
		t.Errorf("%v connections have got a descriptor that was kept back", n)
	}
	// One can have been given when the client of this answer had been let in: whether another waits is not known before.
	if s("file_descriptors_available") > 1 || s("accepting") != 0 {
		t.Errorf("the metrics say %v descriptors are left, accepting %v", s("file_descriptors_available"), s("accepting"))
	}
	s.addUp(t)
	full()
	if out, code := f.run("connections", "--top", "peer"); code != 0 || !strings.Contains(out, "1 client") {
		t.Errorf("connections: exit code %d, %s", code, out)
	}
	full()
	if out, code := f.run("limits"); code != 0 {
		t.Errorf("limits: exit code %d, %s", code, out)
	}
	full()
	if out, code := f.run("connections", "--abort", "--id", "1", "--yes"); code != 0 || out != "1 connection reset\n" {
		t.Errorf("connections --abort: exit code %d, %s", code, out)
	}
	full()
	if out, code := f.run("abort"); code != 0 || !strings.Contains(out, "by abort: nothing") {
		t.Errorf("abort: exit code %d, %s", code, out)
	}
	f.exit(0)
}
