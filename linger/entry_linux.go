//go:build linux

package linger

import (
	"net"
	"runtime"
)

// giveTCP makes what the user of a connection is given, and has the entry learn when it is forgotten.
//
// A cleanup of the garbage collector must not close what somebody still uses. So it hangs on the connection of package net that the user
// gets to see by NetConn, and the entry has a copy of that, with the same descriptor. The methods of handle keep both from
// the collector while they run. The rest are net.TCPConn's own: they go back to their receiver for the error when their system calls
// have returned, and thereby keep it too (TestForgottenInUse looks whether they still do). Nobody else can be using the
// descriptor, unless he was given the connection below, of which a RawConn can be all that he has left. Then nothing is closed, but let
// go: package net closes the descriptor when it finds that nobody has that either.
func (e *entry) giveTCP(c *net.TCPConn) *Conn {
	e.tcp = *c
	e.below = &e.tcp
	e.raw, _ = e.tcp.SyscallConn() // it has no error but for a connection that is nil
	runtime.AddCleanup(c, (*entry).forgotten, e)
	return &Conn{tcpBelow{c}, handle{e}}
}

func (e *entry) giveUnix(c *net.UnixConn) *unixConn {
	own := *c
	e.below = &own
	e.raw, _ = own.SyscallConn()
	runtime.AddCleanup(c, (*entry).forgotten, e)
	return &unixConn{unixBelow{c}, handle{e}}
}

// giveOther is for connections of which no copy can be made. What the user gets to see by NetConn is the entry's own, and nobody says
// when that is forgotten.
func (e *entry) giveOther(c net.Conn) (*otherConn, error) {
	var err error
	if e.raw, err = reach(c); err != nil {
		return nil, err
	}
	e.below = c
	given := &otherConn{handle{e}}
	runtime.AddCleanup(given, func(e *entry) {
		if !e.shared.Load() {
			e.forgotten()
		}
	}, e)
	return given, nil
}

// forgotten ends a connection that nobody has any more.
func (e *entry) forgotten() {
	if !e.wasClosed.Load() {
		go e.end(e.shared.Load()) // whoever is told of it may take his time, and other cleanups wait meanwhile
	}
}

// close is Close.
func (e *entry) close() error { return e.end(false) }

// end closes the connection, or only lets go of what is below. It takes the connection out of the set only when that is done, so that
// at no moment a teardown misses one that is still open. No lock is held: whoever is told may call what he likes.
func (e *entry) end(letGo bool) (err error) {
	if !e.wasClosed.CompareAndSwap(false, true) {
		return &net.OpError{Op: "close", Err: net.ErrClosed}
	}
	if e.state.Load() == phaseLive {
		// A teardown that begins now cannot reach the connection any more, and waits until it is closed and counted.
		e.set.closing.Add(1)
		defer e.set.closing.Add(-1)
	}
	e.beforeClose()
	if !letGo {
		err = e.below.Close()
	}
	aborted := e.remove()
	if e.closed != nil {
		e.closed(aborted)
	}
	e.set.tellFewer()
	return err
}

// beforeClose does what a close in order needs while the descriptor is open. The connection can be aborted meanwhile.
func (e *entry) beforeClose() {
	if residue := e.set.Residue; residue != nil {
		residue.Closed(e.cookie)
	}
	if !e.set.Armed || e.keepLinger.Load() {
		return
	}
	raw, err := reach(e.below)
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = Disarm(int(fd))
		if e.settled() == phaseAborted {
			// Where the kernel refused to reset it in place, the close is the abort.
			_ = Arm(int(fd))
		}
	})
}
