package main

import (
	"errors"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	// keptDescriptors is how many clients can be accepted when the process has no descriptor left.
	keptDescriptors = 8
	// maxFrontClients is how many there can be at a time. One more has the place of who has asked for nothing for the longest, or else of who
	// has been there for the longest: whoever holds connections keeps no probe and no order away.
	maxFrontClients = 64
	// fillAgain is when to look for room again.
	fillAgain = 100 * time.Millisecond
)

// keptListener keeps some descriptors back for its clients, which are those who come when there are none left, and bounds how many there are.
type keptListener struct {
	net.Listener

	mu      sync.Mutex // guards what follows
	kept    []*os.File
	clients []*keptConn // in the order in which they came
	again   bool        // fill is about to be tried again
	closed  bool
}

func keepDescriptors(ln net.Listener) *keptListener {
	l := &keptListener{Listener: ln}
	l.fill()
	return l
}

// fill takes back what was given, now or as soon as there is room again.
func (l *keptListener) fill() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !l.closed && len(l.kept) < keptDescriptors {
		f, err := os.Open(os.DevNull)
		if err != nil {
			l.fillLater()
			return
		}
		l.kept = append(l.kept, f)
	}
}

// fillLater is called with l.mu held.
func (l *keptListener) fillLater() {
	if l.again {
		return
	}
	l.again = true
	time.AfterFunc(fillAgain, func() {
		l.mu.Lock()
		l.again = false
		l.mu.Unlock()
		l.fill()
	})
}

// give closes one, for somebody, and reports whether there was one. It is kept again if nobody came: accept(2) fails with EMFILE before it
// looks whether anybody waits.
func (l *keptListener) give() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.kept) == 0 {
		return false
	}
	last := len(l.kept) - 1
	_ = l.kept[last].Close()
	l.kept = l.kept[:last]
	l.fillLater()
	return true
}

// Accept implements net.Listener.
func (l *keptListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		switch {
		case err == nil:
			return l.admit(c), nil
		case errors.Is(err, syscall.EMFILE) && l.give(): // for this one, or whoever is quicker
		default:
			return nil, err
		}
	}
}

// admit takes a place for c.
func (l *keptListener) admit(c net.Conn) *keptConn {
	k := &keptConn{Conn: c, l: l}
	l.mu.Lock()
	var goes *keptConn
	if len(l.clients) >= maxFrontClients {
		goes = l.clients[max(slices.IndexFunc(l.clients, func(k *keptConn) bool { return !k.asks }), 0)]
	}
	l.clients = append(l.clients, k)
	l.mu.Unlock()
	if goes != nil {
		_ = goes.Close()
	}
	return k
}

// note is http.Server's ConnState.
func (l *keptListener) note(c net.Conn, s http.ConnState) {
	if k, ok := c.(*keptConn); ok {
		l.mu.Lock()
		k.asks = s == http.StateActive
		l.mu.Unlock()
	}
}

func (l *keptListener) forget(k *keptConn) {
	l.mu.Lock()
	l.clients = slices.DeleteFunc(l.clients, func(o *keptConn) bool { return o == k })
	l.mu.Unlock()
}

func (l *keptListener) Close() error {
	l.mu.Lock()
	for _, f := range l.kept {
		_ = f.Close()
	}
	l.kept, l.closed = nil, true
	l.mu.Unlock()
	return l.Listener.Close()
}

// keptConn keeps its descriptor again when it is closed.
type keptConn struct {
	net.Conn
	l    *keptListener
	once sync.Once
	asks bool // a request is under way; guarded by l.mu
}

// NetConn is what is below.
func (c *keptConn) NetConn() net.Conn { return c.Conn }

func (c *keptConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		c.l.forget(c)
		c.l.fill()
	})
	return err
}
