package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rstserver/internal/lingertest"
	"rstserver/linger"
)

// At three in the morning: one of fifty clients has far more connections than the others. It is found, its connections are ended, the others
// notice nothing, and in the end the server is drained; and what the metrics say adds up all the time.
func TestIncident(t *testing.T) {
	const (
		clients, all, worst = 50, 5000, 149
		others              = all - worst
		worstAddr           = "127.0.1.50"
		upgraded            = 10
	)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < all+1000 {
		t.Skipf("it takes %d descriptors, and the limit is %d: ulimit -n %d", all+1000, limit.Cur, all+1000)
	}
	f := startFronted(t)
	conns := make(map[string][]*client)
	var mu sync.Mutex // guards conns
	var wait sync.WaitGroup
	for i := range clients {
		wait.Go(func() {
			ip, n := fmt.Sprintf("127.0.1.%d", i+1), others/(clients-1)
			if ip == worstAddr {
				n = worst
			}
			for port := lingertest.FirstSource; n > 0; port++ { // no server has these, whose sockets other tests count by the port
				d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip), Port: port}, Timeout: lingertest.Patience}
				c, err := d.Dial("tcp", f.addr.String())
				if errors.Is(err, syscall.EADDRINUSE) {
					continue
				}
				n--
				if err != nil {
					t.Error(err)
					return
				}
				cl := newClient(t, c)
				mu.Lock()
				conns[ip] = append(conns[ip], cl)
				mu.Unlock()
				if err := cl.roundTrip(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	defer func() {
		for _, some := range conns {
			for _, c := range some {
				_ = c.SetLinger(0)
				_ = c.Close()
			}
		}
	}()
	if t.Failed() {
		return
	}
	expect := func(s samples, name string, want float64, labels ...string) {
		t.Helper()
		if got := s(name, labels...); got != want {
			t.Errorf("%s%q = %v, want %v", name, labels, got, want)
		}
	}
	lingertest.Wait(t, "all are idle", func() bool { return f.scrape()("connections", "activity", "idle") == all })
	s := f.scrape()
	s.addUp(t)
	expect(s, "connections_accepted_total", all)
	expect(s, "connections_ended_total", 0)
	expect(s, "connections", all, "activity", "idle")
	expect(s, "http_requests_total", all, "class", "2xx")

	out, code := f.run("connections", "--top", "peer", "--limit", "1", "--json")
	var top struct {
		Total int
		Peers []struct {
			Peer        string
			Connections int
		}
	}
	if err := json.Unmarshal([]byte(out), &top); err != nil || code != 0 {
		t.Fatalf("connections --top peer: exit code %d, %v\n%s", code, err, out)
	}
	if top.Total != clients || len(top.Peers) != 1 || top.Peers[0].Peer != worstAddr || top.Peers[0].Connections != worst {
		t.Fatalf("the worst client is said to be %+v, want %s with %d", top, worstAddr, worst)
	}

	if out, code := f.run("connections", "--abort", "--peer", top.Peers[0].Peer, "--yes"); code != 0 || out != fmt.Sprintf("%d connections reset\n", worst) {
		t.Errorf("connections --abort: exit code %d, %q", code, out)
	}
	for _, c := range conns[worstAddr] {
		if _, err := c.r.ReadByte(); !errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("a connection of the worst client reads %v, want ECONNRESET", err)
		}
	}
	for ip, some := range conns {
		for _, c := range some {
			if ip == worstAddr {
				continue
			}
			if err := c.roundTrip(); err != nil {
				t.Fatalf("a connection of %s: %v", ip, err)
			}
		}
	}
	if n := f.stderr.count("audit=true", "abort of connections", "connections=149", "uid="); n != 1 {
		t.Errorf("%d audit lines, want 1", n)
	}
	s = f.scrape()
	s.addUp(t)
	expect(s, "connections_ended_total", worst, "end", "aborted")
	expect(s, "connections_ended_total", worst)
	expect(s, "connections", others)
	expect(s, "http_requests_total", all+others, "class", "2xx")

	// Some are in flight for as long as the test likes.
	flying := conns["127.0.1.1"][:upgraded]
	for _, c := range flying {
		_, _ = io.WriteString(c, "GET /upgrade HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		if res, err := http.ReadResponse(c.r, nil); err != nil || res.StatusCode != 101 {
			t.Fatalf("upgrade: %v, %v", res, err)
		}
	}
	type result struct {
		out  string
		code int
	}
	drained := make(chan result, 1)
	go func() {
		out, code := f.run("drain", "--json")
		drained <- result{out, code}
	}()
	lingertest.Wait(t, "what is idle is reset", func() bool { s = f.scrape(); return s("connections_ended_total", "end", "drained") == others-upgraded })
	s.addUp(t)
	expect(s, "connections", upgraded, "activity", "hijacked")
	expect(s, "state", 1, "state", "drain")
	if status, text := get(t, f.health+"/readyz"); status != 503 || !strings.Contains(text, "drain") {
		t.Errorf("/readyz in the drain: %d %q", status, text)
	}
	for _, c := range flying {
		_, _ = io.WriteString(c, "x")
		if b, err := c.r.ReadByte(); b != 'x' || err != nil {
			t.Errorf("one in flight: %q, %v", b, err)
		}
		_ = c.CloseWrite()
		if _, err := c.r.ReadByte(); err != io.EOF {
			t.Errorf("one in flight ends with %v, want EOF", err)
		}
	}
	r := <-drained
	lines := strings.Split(strings.TrimSpace(r.out), "\n")
	var raw struct {
		Report struct {
			Mode        linger.Mode
			Connections map[string]int
			Closed      int `json:"closed_in_order"`
		}
		Exit *int
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &raw); err != nil || raw.Exit == nil || *raw.Exit != 0 || r.code != 0 {
		t.Fatalf("drain: exit code %d, %v\n%s", r.code, err, r.out)
	}
	if rep := raw.Report; rep.Mode != linger.ModeDrain || rep.Connections["idle"] != others-upgraded || rep.Closed != upgraded {
		t.Errorf("the report: %+v", rep)
	}
	if len(lines) < 2 || !strings.Contains(r.out, `"state":"drain"`) {
		t.Errorf("the drain says nothing of its progress: %s", r.out)
	}
	f.exit(0)
}

// newClient is a connection on which nothing takes longer than [lingertest.Patience].
func newClient(t testing.TB, c net.Conn) *client {
	_ = c.SetDeadline(time.Now().Add(lingertest.Patience))
	tcp := c.(*net.TCPConn)
	return &client{TCPConn: tcp, t: t, r: bufio.NewReaderSize(tcp, 512)}
}

// roundTrip sends a request, and reads its answer.
func (c *client) roundTrip() error {
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return err
	}
	res, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return err
}
