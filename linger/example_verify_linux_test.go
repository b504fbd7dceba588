//go:build linux

package linger_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"
	"syscall"

	"rstserver/linger"
)

// Whoever closes first keeps TIME_WAIT, and the port is not free for a minute. A connection that is reset leaves nothing.
func ExampleCheckFree() {
	for _, way := range []struct {
		name string
		end  func(conn *net.TCPConn)
	}{
		{"close", func(conn *net.TCPConn) { conn.Close() }},
		{"abort", func(conn *net.TCPConn) { onDescriptor(conn, linger.Arm); conn.Close() }},
	} {
		ln, client, conn := listenAndConnect()
		addr := ln.Addr().(*net.TCPAddr).AddrPort()
		fmt.Println("while a server listens:", errors.Is(linger.CheckFree(addr), syscall.EADDRINUSE))
		ln.Close()
		way.end(conn)
		io.Copy(io.Discard, client) // the end, or ECONNRESET
		client.Close()
		fmt.Println("behind", way.name+":", linger.CheckFree(addr) == nil)
	}
	// Output:
	// while a server listens: true
	// behind close: false
	// while a server listens: true
	// behind abort: true
}

// The kernel is asked what is left of a teardown, by the numbers that it gives to sockets: here of a listener that was closed, with one
// connection that was aborted, and one that was forgotten.
func ExampleVerify() {
	ln, client, aborted := listenAndConnect()
	defer client.Close()
	forgotten, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer forgotten.Close()
	conn, err := ln.AcceptTCP()
	if err != nil {
		log.Fatal(err)
	}
	ending := linger.Ending{Port: ln.Addr().(*net.TCPAddr).AddrPort().Port()}
	for _, c := range []*net.TCPConn{aborted, conn} {
		onDescriptor(c, func(fd int) error {
			cookie, err := linger.Cookie(fd)
			ending.Connections = append(ending.Connections, cookie)
			return err
		})
	}

	ln.Close()
	onDescriptor(aborted, linger.Arm)
	aborted.Close()
	left, err := linger.Verify(ending)
	fmt.Println(left.Outlived, "outlived, free:", left.Free(), err)

	onDescriptor(conn, linger.Abort) // conn still has to be closed
	left, err = linger.Verify(ending)
	fmt.Println(left.Outlived, "outlived, free:", left.Free(), err)
	conn.Close()
	// Output:
	// ESTABLISHED 1 outlived, free: false <nil>
	// none outlived, free: true <nil>
}

// listenAndConnect returns a listener, and the two ends of a connection to it.
func listenAndConnect() (ln *net.TCPListener, client net.Conn, conn *net.TCPConn) {
	ln, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		log.Fatal(err)
	}
	if client, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		log.Fatal(err)
	}
	if conn, err = ln.AcceptTCP(); err != nil {
		log.Fatal(err)
	}
	return ln, client, conn
}

// onDescriptor calls f with the descriptor of c, which stays open meanwhile.
func onDescriptor(c *net.TCPConn, f func(fd int) error) {
	raw, err := c.SyscallConn()
	if err != nil {
		log.Fatal(err)
	}
	var failure error
	if err := errors.Join(raw.Control(func(fd uintptr) { failure = f(int(fd)) }), failure); err != nil {
		log.Fatal(err)
	}
}
