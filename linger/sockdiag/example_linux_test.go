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

// Ending the connections of a port from outside, all but the listening socket.
func ExampleDestroy() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	dump, err := sockdiag.Inspect(ln.Addr().(*net.TCPAddr).AddrPort().Port())
	if err != nil {
		log.Fatal(err)
	}
	selector := sockdiag.Selector{States: []sockdiag.State{sockdiag.Established}}
	var selected []sockdiag.Socket
	for _, s := range dump.Sockets {
		if selector.Match(&s) {
			selected = append(selected, s)
		}
	}
	result, err := sockdiag.Destroy(selected)
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range result.Refused {
		log.Println(r.Socket.Remote, "is left:", r.Err) // without CAP_NET_ADMIN
	}
	fmt.Println("selected:", len(selected))
	// Output:
	// selected: 1
}
