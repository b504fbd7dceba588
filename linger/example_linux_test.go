//go:build linux

package linger_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"syscall"

	"rstserver/linger"
)

// One connection of a net.Conn, reset at once. Control keeps the descriptor open meanwhile, and the net.Conn still has to
// be closed.
func ExampleAbort() {
	client, conn := connect()
	defer client.Close()
	defer conn.Close()

	raw, err := conn.SyscallConn()
	if err != nil {
		log.Fatal(err)
	}
	var failure error
	err = raw.Control(func(fd uintptr) { failure = linger.Abort(int(fd)) })
	if err := errors.Join(err, failure); err != nil {
		log.Fatal(err)
	}

	_, err = client.Read(make([]byte, 1))
	fmt.Println("the client reads ECONNRESET:", errors.Is(err, syscall.ECONNRESET))
	// Output:
	// the client reads ECONNRESET: true
}

// A listener whose connections are reset when the process ends, whichever way it does.
func ExampleArm() {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var failure error
		err := c.Control(func(fd uintptr) { failure = linger.Arm(int(fd)) })
		return errors.Join(err, failure)
	}}
	lc.SetMultipathTCP(false)
	ln, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	conn, err := ln.Accept()
	if err != nil {
		log.Fatal(err)
	}

	conn.Close()
	_, err = client.Read(make([]byte, 1))
	fmt.Println("the client reads ECONNRESET:", errors.Is(err, syscall.ECONNRESET))
	// Output:
	// the client reads ECONNRESET: true
}

// An event loop (here number 0) enters its connections and takes each out before it closes it. Any goroutine can then end
// all of them, and ask the kernel whether they are gone.
func ExampleTable() {
	const loop = 0
	var table linger.Table
	client, conn := connect()
	defer client.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		log.Fatal(err)
	}
	var number int
	err = raw.Control(func(fd uintptr) { number = int(fd) })
	if err != nil {
		log.Fatal(err)
	}

	// The loop, when the connection is there and when a request is answered.
	if err := table.Open(number, loop); err != nil {
		log.Fatal(err)
	}
	table.SetActivity(number, linger.Idle)

	// Whoever tears down.
	sweep := table.AbortOwned(loop)
	fmt.Println("aborted while idle:", sweep.Aborted[linger.Idle])
	port := conn.LocalAddr().(*net.TCPAddr).AddrPort().Port()
	left, err := linger.Verify(linger.Ending{Port: port, Connections: sweep.Cookies})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("still there:", left.Outlived)

	// The loop, when it notices.
	fmt.Println("closed after an abort:", table.Close(number))
	conn.Close()
	// Output:
	// aborted while idle: 1
	// still there: none
	// closed after an abort: true
}

// Connections that belong to the users of a library: each is entered, leaves when its user closes it, and is reset when all
// have to go. Those that come after that are reset at once.
func ExampleConns() {
	var set linger.Conns
	client, accepted := connect()
	defer client.Close()

	// The library, which hands conn over in place of what it has accepted.
	closed := func(aborted bool) { fmt.Println("closed after an abort:", aborted) }
	conn, ok := set.Add(accepted, closed)
	fmt.Println("entered:", ok)

	// Whoever tears down.
	sweep := set.AbortAll(linger.Hijacked)
	fmt.Println("aborted while hijacked:", sweep.Aborted[linger.Hijacked])
	_, err := client.Read(make([]byte, 1))
	fmt.Println("the client reads ECONNRESET:", errors.Is(err, syscall.ECONNRESET))

	// The user, when it notices.
	conn.Close()
	// Output:
	// entered: true
	// aborted while hijacked: 1
	// the client reads ECONNRESET: true
	// closed after an abort: true
}

// connect returns both ends of a connection.
func connect() (client, conn *net.TCPConn) {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	ln, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	s, err := ln.Accept()
	if err != nil {
		log.Fatal(err)
	}
	return c.(*net.TCPConn), s.(*net.TCPConn)
}
