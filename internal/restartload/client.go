package restartload

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// client is one that makes requests. It is one goroutine's.
type client struct {
	l        *Load
	kind     Kind
	schedule schedule
	conn     net.Conn // nil: none
	tcp      *net.TCPConn
	r        *bufio.Reader
	dialled  time.Duration // when it did so last, since the load began

	answered bool
	answers  []Answer
	lost     []Lost
	cuts     []Cut
	events   []Event
}

func newClient(l *Load, kind Kind, s schedule) *client {
	return &client{l: l, kind: kind, schedule: s, dialled: -again}
}

// patience bounds a request, unless the Config does.
const patience = 20 * time.Second

// work makes requests, one after the other.
func (c *client) work() {
	defer c.leave()
	for first := true; ; first = false {
		began, ok := c.schedule.due(c.l, first)
		if !ok {
			return
		}
		process, err := c.request()
		c.note(began, process, err)
		if err != nil && (c.kind == Slow || c.kind == Upload) {
			c.l.wait(again)
		}
	}
}

// request makes one request of the client's kind.
func (c *client) request() (process string, err error) {
	if c.kind == New {
		defer c.close()
	}
	if err := c.connect(); err != nil {
		return "", err
	}
	switch c.kind {
	case New, Idle:
		return c.exchange(c.get(c.l.config.Path))
	case Slow:
		return c.exchange(c.get(c.l.config.SlowPath))
	case Upload:
		return c.upload()
	default:
		return c.exchange(c.head("POST", c.l.config.PostPath, "Content-Length: 5") + "hello")
	}
}

// note counts a request that was due then as answered or lost.
func (c *client) note(began time.Duration, process string, err error) {
	at := c.l.Since()
	c.l.requests.Add(1)
	if err == nil {
		c.answers = append(c.answers, Answer{c.kind, began, at - began, process})
		if !c.answered {
			c.answered = true
			c.l.ready.Add(1)
		}
		return
	}
	lost := Lost{Kind: c.kind, Began: began, At: at, Loss: lossOf(err), Err: plain(err)}
	c.lost = append(c.lost, lost)
	if c.l.losses.Add(1) == 1 {
		c.l.mu.Lock()
		c.l.lost = &lost
		c.l.mu.Unlock()
	}
}

// leave hands in what was seen.
func (c *client) leave() {
	c.close()
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	r := &c.l.result
	r.Answers, r.Lost, r.Cuts = append(r.Answers, c.answers...), append(r.Lost, c.lost...), append(r.Cuts, c.cuts...)
	r.Events = append(r.Events, c.events...)
}

// connect sees to it that the client has a connection. One that the server has ended meanwhile is not used: clients look (RFC 9112, 9.5).
func (c *client) connect() error {
	if c.conn != nil {
		how := c.over()
		if how == "" {
			return nil
		}
		c.cut(how)
		c.close()
	}
	return c.dial()
}

func (c *client) cut(how string) { c.cuts = append(c.cuts, Cut{c.kind, c.l.Since(), how}) }

// over is how the server has ended the connection; empty if it has not.
func (c *client) over() (how string) {
	raw, err := c.tcp.SyscallConn()
	if err != nil {
		return ""
	}
	_ = raw.Control(func(fd uintptr) {
		var one [1]byte
		switch n, _, err := unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT); {
		case err == unix.ECONNRESET:
			how = reset
		case err == nil && n == 0:
			how = closed
		}
	})
	return how
}

// How connections end.
const (
	reset  = "reset"
	closed = "closed"
	ended  = "ended" // an event stream, behind its last chunk
)

func (c *client) dial() error {
	c.dialled = c.l.Since()
	d := net.Dialer{Timeout: c.l.config.Timeout}
	d.SetMultipathTCP(false)
	conn, err := d.Dial("tcp", c.l.config.Addr)
	if err != nil {
		return err
	}
	c.tcp = conn.(*net.TCPConn)
	// Its client has no use for TIME_WAIT, and ports are few.
	_ = c.tcp.SetLinger(0)
	if c.l.config.TLS != nil {
		t := tls.Client(conn, c.l.config.TLS)
		_ = conn.SetDeadline(time.Now().Add(c.l.config.Timeout))
		if err := t.Handshake(); err != nil {
			_ = conn.Close()
			return fmt.Errorf("handshake: %w", err)
		}
		conn = t
	}
	c.conn = conn
	if c.r == nil {
		c.r = bufio.NewReader(nil)
	}
	c.r.Reset(conn)
	return nil
}

func (c *client) close() {
	if c.conn != nil {
		_ = c.conn.Close()
	}
	c.conn = nil
}

// head is that of a request.
func (c *client) head(method, target string, fields ...string) string {
	h := method + " " + target + " HTTP/1.1\r\nHost: " + c.l.config.Addr + "\r\n"
	for _, f := range fields {
		h += f + "\r\n"
	}
	return h + "\r\n"
}

func (c *client) get(target string) string { return c.head("GET", target) }

// upload sends content in pieces.
func (c *client) upload() (process string, err error) {
	c.deadline()
	request := c.head("POST", c.l.config.UploadPath, "Content-Length: "+strconv.Itoa(UploadBytes))
	piece := make([]byte, UploadBytes/UploadPieces)
	_, err = c.conn.Write([]byte(request))
	for i := 0; i < UploadPieces && err == nil; i++ {
		time.Sleep(c.l.config.UploadTakes / UploadPieces)
		_, err = c.conn.Write(piece)
	}
	return c.answer(err)
}

func (c *client) deadline() { _ = c.conn.SetDeadline(time.Now().Add(c.l.config.Timeout)) }

// stayIdle opens a connection that is used once, and another when the server has ended it.
func (c *client) stayIdle() {
	defer c.leave()
	for c.comeBack() {
		began := c.l.Since()
		process, err := c.request()
		c.note(began, process, err)
		if err != nil {
			continue
		}
		c.l.idleAnswers.Add(1)
		if c.conn != nil { // otherwise the answer was its last, as all of some servers are
			c.l.await(c.conn, func() {
				c.l.idleNow.Add(1)
				_, err := c.r.ReadByte()
				c.l.idleNow.Add(-1)
				c.ended(err)
			})
		}
		c.close()
	}
}

// ended notes what a read has returned behind which nothing was to come, but not the end of the load.
func (c *client) ended(err error) {
	if !c.l.ending.Load() {
		how := closed
		if lossOf(err) == Reset {
			how = reset
		}
		c.cut(how)
	}
}

// again is how long clients wait that have lost a request, and whose requests usually take their time or are few: a server that is gone, or
// ends each connection at once, is not asked by each of them as fast as it can.
const again = 100 * time.Millisecond

// comeBack waits until the last attempt to have a connection is so long ago, and reports whether the load goes on. A client whose connection
// has lasted that long comes back at once.
func (c *client) comeBack() bool { return c.l.wait(again - (c.l.Since() - c.dialled)) }
