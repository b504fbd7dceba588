//go:build linux

package sockdiag_test

import (
	"fmt"
	"log"
	"net"

	"rstserver/linger/sockdiag"
)

// What a port has while a server listens on it, and afterwards.
func Example() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	port := ln.Addr().(*net.TCPAddr).AddrPort().Port()
	counts, _, err := sockdiag.Count(port)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening sockets:", counts[sockdiag.Listen])

	ln.Close()
	counts, _, err = sockdiag.Count(port)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening sockets:", counts[sockdiag.Listen])
	// Output:
	// listening sockets: 1
	// listening sockets: 0
}

// Who has the port that a server wants.
func ExampleHolders() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	holders, complete, err := sockdiag.Holders(ln.Addr().(*net.TCPAddr).AddrPort().Port())
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range holders {
		fmt.Println("port taken by", p)
	}
	if !complete {
		fmt.Println("there may be more")
	}
}
