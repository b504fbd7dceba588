//go:build linux

package linger_test

import (
	"errors"
	"fmt"
	"log"
	"net/http"
	"syscall"
	"time"

	"rstserver/linger"
)

// A map of sockets, each of which is destroyed at the end of a countdown. The Listener keeps that map.
func Example_socketMap() {
	ln, err := linger.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go http.Serve(ln, http.NotFoundHandler())
	client := connectTo(ln)
	defer client.Close()

	for counter := 3; counter > 0; counter-- {
		fmt.Println(counter)
		time.Sleep(time.Millisecond) // or a second
	}
	report, err := ln.Abort()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("aborted:", report.Connections[linger.Open], "the port is free:", report.Left.Free())
	_, err = client.Read(make([]byte, 1))
	fmt.Println("the client reads ECONNRESET:", errors.Is(err, syscall.ECONNRESET))
	// Output:
	// 3
	// 2
	// 1
	// aborted: 1 the port is free: true
	// the client reads ECONNRESET: true
}
