package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"rstserver/internal/lingertest"
	"rstserver/internal/restartload"
)

// proxied is a file of deploy, and what its text promises.
type proxied struct {
	name, file string
	changes    []string
	ends       bool // TLS ends at the proxy, which has clients without TLS and by HTTP/2, too
	shared     bool // its clients share connections to servers
	told       bool // servers are told who the client is
}

// oneThread has HAProxy do with one: what those of several share with each other is chance.
var oneThread = []string{"global\n", "global\n    nbthread 1\n"}

var allProxied = []proxied{
	{name: "HAProxy", file: "haproxy.cfg", changes: oneThread, ends: true, shared: true},
	{name: "HAProxy that says who the client is", file: "haproxy.cfg", ends: true, told: true,
		changes: append([]string{"default-server check", "default-server send-proxy-v2 pool-low-conn 1000 check",
			"--drain-delay 5s\n", "--drain-delay 5s --proxy-protocol --trusted-proxies 10.0.0.10\n"}, oneThread...)},
	{name: "HAProxy before TLS", file: "haproxy-tls.cfg", told: true},
	{name: "nginx", file: "nginx.conf", ends: true, shared: true},
	{name: "nginx before TLS", file: "nginx-tls.conf", told: true},
}

// A real proxy does what its file says: requests go to all servers, on connections that are kept; TLS ends where it is said to; WebSockets and
// event streams pass; and servers that are told who the client is know it.
func TestProxies(t *testing.T) {
	for _, p := range allProxied {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			log := filepath.Join(t.TempDir(), "access")
			more := []string{"--process-field", "Server-Process", "--access-log", log}
			if !strings.Contains(proxyFile(t, p.file), "--health") {
				more = append(more, "--health", "10.0.0.11:9900")
			}
			d := deploy(t, p.file, p.changes, more...)
			d.expectKept(p)
			d.expectEvents()
			if p.ends {
				d.expectHTTP2()
			}
			d.expectLoad(restartload.Config{Addr: d.secure(), TLS: d.trusts})
			if p.ends {
				d.expectLoad(restartload.Config{Addr: d.plain()})
			}
			for _, server := range d.servers {
				server.signal(9) // a drain has its delay
			}
			b, err := os.ReadFile(log)
			lingertest.Must(t, err)
			if got := strings.Contains(string(b), "\n"+d.in(clientAddr)+" - "); got != p.told {
				t.Errorf("the access log has the client's address: %t, want %t", got, p.told)
			}
		})
	}
}

// clientAddr is where the clients of deployed come from, those of a load excepted.
const clientAddr = "10.0.0.99"

// client is one with connections of its own, of which it has one at a time.
func (d *deployed) client(http2 bool) *http.Client {
	tr := &http.Transport{
		TLSClientConfig: d.trusts.Clone(), MaxConnsPerHost: 1, ForceAttemptHTTP2: http2,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			from := net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(d.in(clientAddr)), 0))
			return (&net.Dialer{LocalAddr: from}).DialContext(ctx, network, addr)
		},
	}
	if !http2 {
		tr.TLSNextProto = make(map[string]func(string, *tls.Conn) http.RoundTripper)
	}
	d.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: lingertest.Patience}
}

// accepted is how many connections the servers have accepted.
func (d *deployed) accepted() (n int) {
	for i := range d.servers {
		n += int(d.scrape(i)("connections_accepted_total"))
	}
	return n
}

// expectKept has two clients ask for 30 answers each, on one connection each.
func (d *deployed) expectKept(p proxied) {
	d.t.Helper()
	for range 2 {
		c := d.client(false)
		for range 30 {
			resp, err := c.Get("https://" + d.secure() + "/")
			lingertest.Must(d.t, err)
			b, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if string(b) != hello || err != nil {
				d.t.Fatalf("got %s %q, %v", resp.Status, b, err)
			}
		}
	}
	got, least, most := d.accepted(), len(d.servers), len(d.servers)+1 // HAProxy has the first request of a client be the first of a connection
	switch {
	case !p.ends:
		least, most = 2, 2
	case !p.shared:
		least, most = 2*len(d.servers), 2*len(d.servers)
	}
	if got < least || got > most {
		d.t.Errorf("the servers have accepted %d connections for 60 requests of two clients, want %d to %d", got, least, most)
	}
}

// expectEvents reads the events of a stream as they come.
func (d *deployed) expectEvents() {
	d.t.Helper()
	resp, err := d.client(false).Get("https://" + d.secure() + "/events?ms=20")
	lingertest.Must(d.t, err)
	defer resp.Body.Close()
	n := 0
	for lines := bufio.NewScanner(resp.Body); n < 3 && lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "id: ") {
			n++
		}
	}
	if n < 3 {
		d.t.Errorf("%s, and %d events", resp.Status, n)
	}
}

func (d *deployed) expectHTTP2() {
	d.t.Helper()
	resp, err := d.client(true).Get("https://" + d.secure() + "/")
	lingertest.Must(d.t, err)
	_ = resp.Body.Close()
	if resp.ProtoMajor != 2 || resp.StatusCode != 200 {
		d.t.Errorf("got %s %s, want HTTP/2.0 200", resp.Proto, resp.Status)
	}
}

// expectLoad has all servers answer clients of several kinds, WebSockets among them, without a loss.
func (d *deployed) expectLoad(c restartload.Config) {
	d.t.Helper()
	c.New, c.Kept, c.Slow, c.WebSocket, c.SSE = 1, 1, 1, 1, 1
	c.PostPath, c.SlowPath, c.WebSocketPath, c.EventsPath = "/echo", "/slow?ms=1", "/ws", "/events?ms=20"
	c.Pause = 2 * shortPause
	l := restartload.Start(c)
	lingertest.Wait(d.t, "every client has had an answer", func() bool { return l.Ready() == int64(c.Clients()) && l.Requests() > 20 })
	if result := l.Stop(); len(result.Lost) > 0 || len(result.Cuts) > 0 {
		d.t.Errorf("the load on %s: %s", c.Addr, result)
	}
	for i := range d.servers {
		if n := d.scrape(i)("http_requests_total"); n == 0 {
			d.t.Errorf("server %s has had no requests", serverNames[i])
		}
	}
}

// A server that drains goes on to accept for longer than a proxy can take to notice that, and to let go of the connections that it keeps.
func TestProxyTimes(t *testing.T) {
	value := func(text, name string) time.Duration {
		t.Helper()
		m := regexp.MustCompile(`\s` + regexp.QuoteMeta(name) + ` ([0-9]+m?s)\b`).FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("there is no %s", name)
		}
		d, err := time.ParseDuration(m[1])
		lingertest.Must(t, err)
		return d
	}
	for _, p := range allProxied {
		text := proxyFile(t, p.file)
		delay := value(text, "--drain-delay")
		switch {
		case strings.HasPrefix(p.file, "haproxy"):
			if !strings.Contains(text, " fall 2 ") {
				t.Errorf("%s does not have it look twice", p.file)
			}
			if noticed := value(text, "inter") + value(text, "fastinter") + 2*value(text, "timeout check"); noticed >= delay {
				t.Errorf("%s: HAProxy needs up to %s, and the server accepts for %s", p.file, noticed, delay)
			}
		case p.shared:
			if kept := value(text, "keepalive_timeout"); kept >= delay {
				t.Errorf("%s: nginx keeps connections for %s, and the server for %s", p.file, kept, delay)
			}
		}
	}
}
