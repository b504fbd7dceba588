//go:build linux

package freeport_test

import (
	"context"
	"fmt"
	"log"
	"net"

	"rstserver/linger/freeport"
	"rstserver/linger/sockdiag"
)

// What is on a port, before anything is done about it.
func ExamplePlan_Look() {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	ln, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	port := ln.Addr().(*net.TCPAddr).AddrPort().Port()

	plan := freeport.Plan{Select: sockdiag.Selector{LocalPort: port}}
	overview, err := plan.Look()
	if err != nil {
		log.Fatal(err)
	}
	for _, row := range overview.Rows {
		if row.HoldsPort() {
			fmt.Println(row.State, row.Count, "of", len(row.Processes), "process")
		}
	}
	// plan.Run would destroy the connections, and leave the listening socket alone.
	verdict, err := plan.Judge()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("free:", verdict.Free)
	// Output:
	// LISTEN 1 of 1 process
	// free: false
}
