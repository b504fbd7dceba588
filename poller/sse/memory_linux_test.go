//go:build linux

package sse

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"rstserver/internal/lingertest"
	"rstserver/poller"
)

// What an open stream takes of a process's anonymous memory, that has had ten events: one of this package, one that an ordinary handler of a poller.Server
// writes, and one of net/http's. Each server is a process of its own. Figures are those of
//
//	go test -count=1 -v -run TestMemory ./poller/sse -streams 10000
func TestMemory(t *testing.T) {
	const events = 10
	n := *many
	if testing.Short() {
		n = min(n, 100)
	}
	each := make(map[string]int)
	for _, server := range memoryServers {
		p := startMemoryServer(t, server)
		p.open(t, 1)
		p.tell(t) // what the first of all takes
		before := p.anonymous(t)
		p.open(t, n)
		for range events {
			p.tell(t)
		}
		each[server] = (p.anonymous(t) - before) / n
		p.end(t)
		t.Logf("%-28s %6d bytes for each of %d streams, after %d events", server, each[server], n, events)
	}
	ours := each[memoryServers[0]]
	for _, other := range memoryServers[1:] {
		if ours > each[other]*3/4 {
			t.Errorf("a stream of this package takes %d bytes, and one of %s %d", ours, other, each[other])
		}
	}
	if n >= 10_000 && !race && ours > 1536 {
		t.Errorf("a stream of this package takes %d bytes, want 1536 at the most", ours)
	}
}

var memoryServers = []string{"sse.Accept", "handler of a poller.Server", "handler of net/http"}

// memoryServer is the environment variable that has TestMain be one of memoryServers.
const memoryServer = "RSTSERVER_SSE_MEMORY"

// serveMemory is such a server, which says where it listens. It sends an event to all streams for each line that comes from stdin, and ends with that.
func serveMemory(server string) error {
	ln, err := poller.Listen(context.Background(), "127.0.0.1:0", false)
	if err != nil {
		return err
	}
	var g Group
	var all broadcast
	broadcast, handler := all.send, http.Handler(&all)
	if server == memoryServers[0] {
		handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = g.Accept(w, r, nil) })
		broadcast = func() { _, _ = g.Broadcast(context.Background(), Event{Data: memoryEvent}) }
	}
	if server == memoryServers[2] {
		go func() { _ = http.Serve(ln, handler) }()
	} else {
		go func() { _ = (&poller.Server{Handler: handler, MaxHandlers: 1 << 20}).Serve(ln) }()
	}
	fmt.Println(ln.Addr())
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		broadcast()
	}
	return nil
}

// memoryEvent is the data of an event, some as long as that of a WebSocket's message in other measurements.
var memoryEvent = strings.Repeat("m", 116)

// broadcast is an ordinary handler, whose streams have a goroutine each, and nothing else.
type broadcast struct {
	mu   sync.Mutex    // guards next
	next chan struct{} // closed by the next event
}

func (b *broadcast) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == nil {
		b.next = make(chan struct{})
	}
	return b.next
}

func (b *broadcast) send() {
	b.wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.next)
	b.next = nil
}

func (b *broadcast) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	flusher, next := w.(http.Flusher), b.wait()
	for flusher.Flush(); ; flusher.Flush() {
		select {
		case <-next:
			next = b.wait()
			_, _ = io.WriteString(w, "data: "+memoryEvent+"\n\n")
		case <-r.Context().Done():
			return
		}
	}
}

// memoryProcess is one of memoryServers with its clients.
type memoryProcess struct {
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	addr    netip.AddrPort
	clients []*net.TCPConn
}

func startMemoryServer(t *testing.T, server string) *memoryProcess {
	t.Helper()
	p := &memoryProcess{cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(os.Environ(), memoryServer+"="+server)
	p.cmd.Stderr = os.Stderr
	stdout, err := p.cmd.StdoutPipe()
	lingertest.Must(t, err)
	p.stdin, err = p.cmd.StdinPipe()
	lingertest.Must(t, err)
	lingertest.Must(t, p.cmd.Start())
	t.Cleanup(func() { p.end(t) })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	lingertest.Must(t, err)
	p.addr, err = netip.ParseAddrPort(strings.TrimSpace(line))
	lingertest.Must(t, err)
	return p
}

// open opens n more streams.
func (p *memoryProcess) open(t *testing.T, n int) {
	t.Helper()
	for range n {
		c := lingertest.Dial(t, net.Dialer{}, p.addr)
		_ = c.SetDeadline(time.Now().Add(lingertest.Patience))
		p.clients = append(p.clients, c)
		_, err := io.WriteString(c, get)
		lingertest.Must(t, err)
		readTo(t, c, "\r\n\r\n")
	}
}

// readTo reads up to what ends so.
func readTo(t *testing.T, c net.Conn, end string) {
	t.Helper()
	var b []byte
	buf := make([]byte, 4096)
	for !bytes.HasSuffix(b, []byte(end)) {
		n, err := c.Read(buf)
		if b = append(b, buf[:n]...); err != nil {
			t.Fatalf("after %q: %v", b, err)
		}
	}
}

// tell sends an event to all, and returns when all have it.
func (p *memoryProcess) tell(t *testing.T) {
	t.Helper()
	_, err := io.WriteString(p.stdin, "\n")
	lingertest.Must(t, err)
	for _, c := range p.clients {
		readTo(t, c, memoryEvent+"\n\n\r\n")
	}
}

var rssAnon = regexp.MustCompile(`RssAnon:\s+(\d+) kB`)

func (p *memoryProcess) anonymous(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	lingertest.Must(t, err)
	m := rssAnon.FindSubmatch(status)
	if m == nil {
		t.Fatal("the kernel says nothing of anonymous memory")
	}
	n, err := strconv.Atoi(string(m[1]))
	lingertest.Must(t, err)
	return n << 10
}

// end resets the clients, and ends the process.
func (p *memoryProcess) end(t *testing.T) {
	if p.cmd.ProcessState != nil {
		return
	}
	for _, c := range p.clients {
		_ = c.SetLinger(0)
		_ = c.Close()
	}
	_ = p.stdin.Close()
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("the server ended with %v", err)
	}
}
