//go:build linux

package linger

import (
	"context"
	"io"
	"net"
	"runtime"
	"syscall"
	"time"
)

// handle is the part of what a user is given that all kinds have in common. A method that is running keeps it, and what it is part of,
// from the garbage collector, even if nobody mentions the connection any more: see giveTCP.
type handle struct{ *entry }

// Read is that of the connection below. After an abort its error is ECONNRESET, or says that the connection is closed.
func (h *handle) Read(b []byte) (int, error) {
	defer runtime.KeepAlive(h)
	h.beginRead()
	n, err := h.below.Read(b)
	h.endRead(b[:n])
	return n, err
}

// Write is that of the connection below. Nil says that the kernel has the bytes, not that the peer has.
func (h *handle) Write(b []byte) (int, error) {
	// Without defer it needs less stack: net/http's HTTP/2 has a goroutine for most writes, and a stack that has to grow is copied for each.
	n, err := h.below.Write(b)
	runtime.KeepAlive(h)
	return n, err
}

// ReadFrom copies from r by the means that the connection below and r have, as io.Copy does, whose errors it returns.
func (h *handle) ReadFrom(r io.Reader) (int64, error) {
	defer runtime.KeepAlive(h)
	if limited, ok := r.(*io.LimitedReader); ok {
		if from, ok := limited.R.(*Conn); ok {
			// A net.TCPConn knows its own kind alone.
			defer runtime.KeepAlive(from)
			plain := io.LimitedReader{R: from.below, N: limited.N}
			n, err := io.Copy(h.below, &plain)
			limited.N = plain.N
			return n, err
		}
	}
	return io.Copy(h.below, r)
}

// WriteTo copies to w by the means that the connection below and w have, as io.Copy does, whose errors it returns.
func (h *handle) WriteTo(w io.Writer) (int64, error) {
	defer runtime.KeepAlive(h)
	h.beginRead()
	n, err := io.Copy(w, h.below)
	h.endRead(nil)
	return n, err
}

// LocalAddr is that of the connection below.
func (h *handle) LocalAddr() net.Addr { return h.below.LocalAddr() }

// RemoteAddr is the peer's address, or that of the client which a proxy has named (see [Conns.AddFrom]).
func (h *handle) RemoteAddr() net.Addr {
	if h.remote != nil {
		return h.remote
	}
	return h.below.RemoteAddr()
}

// SetDeadline is that of the connection below, as are the next two. Their error is that the connection is closed.
func (h *handle) SetDeadline(t time.Time) error {
	defer runtime.KeepAlive(h)
	return h.below.SetDeadline(t)
}

// SetReadDeadline is half of [Conn.SetDeadline].
func (h *handle) SetReadDeadline(t time.Time) error {
	defer runtime.KeepAlive(h)
	return h.below.SetReadDeadline(t)
}

// SetWriteDeadline is the other half of [Conn.SetDeadline].
func (h *handle) SetWriteDeadline(t time.Time) error {
	defer runtime.KeepAlive(h)
	return h.below.SetWriteDeadline(t)
}

// SyscallConn returns a RawConn that keeps the connection from the garbage collector. The error is that there is none below.
func (h *handle) SyscallConn() (syscall.RawConn, error) {
	defer runtime.KeepAlive(h)
	raw, err := reach(h.below)
	if err != nil {
		return nil, err
	}
	return &keptRaw{raw, h}, nil
}

// Close ends the connection in order, as that of package net does, unless it has been aborted. If it was armed, it is disarmed first,
// save after SetLinger, with which its user has decided how it is to end. The error wraps [net.ErrClosed] where it was closed before.
func (h *handle) Close() error {
	defer runtime.KeepAlive(h)
	return h.entry.close()
}

// Abort ends the connection with RST at once (see [Abort]). Blocked calls of its user fail, with ECONNRESET at first, but
// it still has to be closed. It is no error when the connection was closed or aborted before. That of a unix socket is
// closed, and the error is [ErrNotTCP].
func (h *handle) Abort() error {
	defer runtime.KeepAlive(h)
	r := newResetter()
	if h.abort(r); r.err != nil && !h.isTCP() {
		return ErrNotTCP
	}
	return nil // what the kernel refused to reset in place is closed, and thereby reset
}

// Turn is the package's [Turn] for those who have the connection.
func (h *handle) Turn() context.Context {
	defer runtime.KeepAlive(h)
	for {
		if t := h.turn.Load(); t != nil {
			return t
		}
		h.turn.CompareAndSwap(nil, newTurn())
	}
}

// tellTurn gives the connection its turn, and reports whether anybody has asked for it.
func (e *entry) tellTurn() bool {
	if e.turn.CompareAndSwap(nil, turnCome) {
		return false
	}
	t := e.turn.Load()
	t.come()
	return t != turnCome
}

// isTCP reports whether the connection is one of TCP.
func (e *entry) isTCP() bool {
	local, _ := addresses(e.below)
	return addrPort(local).IsValid()
}

type keptRaw struct {
	syscall.RawConn
	h *handle
}

func (r *keptRaw) Control(f func(fd uintptr)) error {
	defer runtime.KeepAlive(r)
	return r.RawConn.Control(f)
}

func (r *keptRaw) Read(f func(fd uintptr) (done bool)) error {
	defer runtime.KeepAlive(r)
	return r.RawConn.Read(f)
}

func (r *keptRaw) Write(f func(fd uintptr) (done bool)) error {
	defer runtime.KeepAlive(r)
	return r.RawConn.Write(f)
}
