//go:build linux

package poller

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"rstserver/internal/latch"
	"rstserver/linger"
	"rstserver/poller/internal/engine"
)

// Conns returns the connections that sel picks, in the order in which they were accepted; nil picks all. Each loop is asked for some
// hundred at a time, with some microseconds for each, and turns to its connections in between. So the list is not of one moment: a
// connection that comes or goes meanwhile may be in it or not, every other one is, once.
//
// When ctx ends, what is known by then is returned with an error that names the loops that do not respond. A Server that does not serve
// has none. Any goroutine may call it that is no loop's.
func (s *Server) Conns(ctx context.Context, sel *Selector) ([]ConnInfo, error) {
	return s.steer(ctx, sel, nil, nil)
}

// AbortConns resets the connections that sel picks, whatever they are doing, and returns what it has reset. Otherwise it is like Conns. A
// connection that sel picks may have gone on by a request when it is reset, if a handler has it.
func (s *Server) AbortConns(ctx context.Context, sel *Selector) ([]ConnInfo, error) {
	return s.steer(ctx, sel, (*conn).abort, (*takenInfo).abort)
}

// CloseConns brings the connections that sel picks to an end in order, and returns which it has told. Idle ones are closed with FIN. One that
// has a request gets its answer, as its last. A WebSocket is sent a close frame with 1012, a handler that has asked for it by
// [linger.Turn] has its turn, and HTTP/2 is sent GOAWAY; another hijacked connection is closed. An upgraded connection that has not ended
// after [LingerTimeout] is reset. CloseConns waits for none of that. Otherwise it is like Conns.
func (s *Server) CloseConns(ctx context.Context, sel *Selector) ([]ConnInfo, error) {
	return s.steer(ctx, sel, (*conn).part, (*takenInfo).part)
}

// steer lists connections, and does something to each.
func (s *Server) steer(ctx context.Context, sel *Selector, act func(*conn), actTaken func(*takenInfo)) ([]ConnInfo, error) {
	s.mu.Lock()
	r := s.run
	s.mu.Unlock()
	if r == nil || s.state.Load() == stateClosed {
		return nil, nil
	}
	if sel == nil {
		sel = new(Selector)
	}
	sel = sel.inOrder()
	var (
		all  []ConnInfo
		errs []error
		mu   sync.Mutex // guards these two
		wait sync.WaitGroup
	)
	for _, l := range r.loops {
		wait.Go(func() {
			some, err := l.steer(ctx, sel, act)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, some...)
			errs = append(errs, err)
		})
	}
	wait.Wait()
	// Behind the loops: one that a loop has given up meanwhile is there by now, or was seen before.
	seen := make(map[uint64]bool, len(all))
	for i := range all {
		seen[all[i].ID] = true
	}
	for _, t := range r.taken.snapshot() {
		info, ok := t.info()
		if !ok || seen[t.peer.ID] || !sel.Match(&info) {
			continue
		}
		all = append(all, info)
		if actTaken != nil {
			actTaken(t)
		}
	}
	slices.SortFunc(all, func(a, b ConnInfo) int { return int(int64(a.ID) - int64(b.ID)) })
	return all, errors.Join(errs...)
}

// steerAtOnce is how many descriptors a loop looks through before it turns to its connections again.
const steerAtOnce = 256

// steer does it for the connections of one loop. Any goroutine may call it but the loop's.
func (l *loop) steer(ctx context.Context, sel *Selector, act func(*conn)) (all []ConnInfo, err error) {
	for from := 0; ; {
		var some []ConnInfo
		next := 0
		done := make(chan struct{})
		if !l.post(func() {
			defer close(done)
			if ctx.Err() != nil { // nobody would learn of what is done now
				return
			}
			l.clock.tick()
			next = l.engine.Sessions(from, steerAtOnce, func(s engine.Session) {
				c, ok := s.(*conn)
				if !ok {
					return
				}
				if info, ok := c.info(); ok && sel.Match(&info) {
					some = append(some, info)
					if act != nil {
						act(c)
						c.settle()
					}
				}
			})
		}) {
			return all, nil // it has none
		}
		select {
		case <-done:
		case <-l.ended:
			if !latch.IsClosed(done) {
				return all, nil
			}
		case <-ctx.Done():
			return all, fmt.Errorf("poller: event loop %d does not respond: %w", l.index, ctx.Err())
		}
		all = append(all, some...)
		if next == 0 {
			return all, nil
		}
		from = next
	}
}

// info describes the connection, unless it is over. On the loop.
func (c *conn) info() (info ConnInfo, ok bool) {
	if c.catchUp(); c.over() || c.state == opening {
		return info, false
	}
	if info.ConnInfo, ok = linger.InfoOf(c.sock.FD); !ok {
		return info, false
	}
	info.Conn, info.Loop, info.Activity = c.describe(), c.loop.index, c.activity
	info.ConnInfo.Remote, info.Accepted = info.Conn.Remote, epoch.Add(c.opened)
	info.Requests, info.Buffered, info.Protocol = int64(c.requests), c.charged, "HTTP/1.1"
	switch {
	case c.upgrade != nil:
		info.Protocol, info.Path = c.upgrade.name, c.upgrade.path
		c.upgrade.mu.Lock()
		info.TLS = c.tls.version()
		c.upgrade.mu.Unlock()
	case c.lease != nil:
		info.Path = pathOf(c.lease.head)
	default:
		info.TLS = c.tls.version()
		if c.pending != nil && !c.pending.skip {
			info.Path = pathOf(c.pending.head)
		}
	}
	return info, true
}

// pathOf is the path of the request that begins with head.
func pathOf(head []byte) string {
	_, rest, _ := strings.Cut(requestLine(head), " ")
	target, _, _ := strings.Cut(rest, " ")
	return targetPath(target)
}

func targetPath(target string) string {
	target, _, _ = strings.Cut(target, "?")
	return target
}

// upgradeName is the protocol that a request asks to upgrade to, in lower case; empty if it is none, or cannot be one.
func upgradeName(head []byte) string {
	for line := range bytes.Lines(head) {
		name, value, ok := bytes.Cut(line, []byte(":"))
		if ok && bytes.EqualFold(name, []byte("Upgrade")) {
			first, _, _ := strings.Cut(string(value), ",")
			return strings.ToLower(strings.TrimSpace(first))
		}
	}
	return ""
}

// part brings the connection to its end in order, outside of a drain. On the loop.
func (c *conn) part() {
	c.leaves = true
	switch {
	case c.upgrade != nil && c.state == sending: // handOver sees to it, behind the answers
	case c.upgrade != nil && c.state != told:
		c.partUpgrade()
	case c.state == idle || c.state == quiet || c.state == fresh || c.state == greeting:
		if c.silent() {
			c.close()
		}
	case c.lease != nil:
		c.lease.leaves.Store(true)
		c.loop.run.turns.come(c.id)
		if c.catchUp() && c.silent() { // its worker may have looked before
			c.close()
		}
	}
}

// partUpgrade is part of a protocol, which has LingerTimeout for it.
func (c *conn) partUpgrade() {
	c.tellThat(true)
	if !c.over() && c.state == told {
		c.loop.setTimeout(c, lingerTimeout)
	}
}

// takenSet holds the connections that a loop has given up: hijacked ones, and those of HTTP/2. Nothing of it keeps one from being found forgotten.
// Any goroutine may call its methods.
type takenSet struct {
	mu  sync.Mutex // guards all
	all map[uint64]*takenInfo
}

// takenInfo is one of them. Immutable, but for what says otherwise.
type takenInfo struct {
	run      *run
	peer     Conn
	accepted time.Time
	protocol string
	http2    bool
	tls      uint16
	held     int
	before   int64 // requests, until it was taken
	path     atomic.Pointer[string]
	requests atomic.Int64 // since
	leaves   atomic.Bool  // every answer is the last
	drained  atomic.Bool  // if it is reset, that is a drain's doing, with nothing in flight
	conn     atomic.Pointer[weak.Pointer[linger.Conn]]
	server   atomic.Pointer[http.Server] // of HTTP/2
}

func (s *takenSet) add(t *takenInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = make(map[uint64]*takenInfo)
	}
	s.all[t.peer.ID] = t
}

func (s *takenSet) remove(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, id)
}

func (s *takenSet) of(id uint64) *takenInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[id]
}

func (s *takenSet) snapshot() []*takenInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.all))
}

// value is the connection, nil if it is gone or forgotten.
func (t *takenInfo) value() *linger.Conn {
	if w := t.conn.Load(); w != nil {
		return w.Value()
	}
	return nil
}

func (t *takenInfo) info() (info ConnInfo, ok bool) {
	c := t.value()
	if c == nil {
		return info, false
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return info, false
	}
	if raw.Control(func(fd uintptr) { info.ConnInfo, ok = linger.InfoOf(int(fd)) }) != nil || !ok {
		return info, false
	}
	info.Conn, info.Loop, info.Protocol, info.Activity, info.TLS = t.peer, -1, t.protocol, linger.Hijacked, t.tls
	if t.http2 {
		info.Activity = linger.HTTP2
	}
	info.ConnInfo.Remote, info.Accepted, info.Requests, info.Buffered = t.peer.Remote, t.accepted, t.before+t.requests.Load(), t.held
	if p := t.path.Load(); p != nil {
		info.Path = *p
	}
	return info, true
}

func (t *takenInfo) abort() {
	if c := t.value(); c != nil {
		_ = c.Abort() // its user finds out, and closes it
	}
}

func (t *takenInfo) part() {
	t.leaves.Store(true)
	defer t.run.forgetTaken(t.peer.ID)
	switch c := t.value(); {
	case c == nil:
	case t.http2:
		if server := t.server.Load(); server != nil {
			sendAway(server)
		}
		t.run.turns.come(t.peer.ID) // of handlers that answer for as long as it lives
	case t.run.turns.come(t.peer.ID):
	default:
		_ = c.Close()
	}
}
