// Package fleet is the clients: what each sends and waits for by its kind, how it is told that its connection is over, and the processes
// that hold them ([Crew], [Serve]). It touches the clients' ends of connections. Of the server it knows an address, and what the kernel
// says that it has read.
package fleet

import (
	"net/netip"
	"time"

	"rstserver/bench/kinds"
)

// Target is a server as its clients know it.
type Target struct {
	Addr  netip.AddrPort `json:"addr"`
	Paths kinds.Paths    `json:"paths"`
	Late  time.Duration  `json:"late"` // that an InFlight request takes
	// TLS: clients speak TLS, whatever certificate the server has. With Bare they do no more than connect, of whatever kind they are:
	// the server would not understand them.
	TLS  bool `json:"tls,omitempty"`
	Bare bool `json:"bare,omitempty"`
}

// Order is which connections a Fleet is to open: those of a mix from one number to another, so that several fleets can share
// one mix.
type Order struct {
	Target   Target        `json:"target"`
	Mix      Mix           `json:"mix"`
	From     int           `json:"from"`
	To       int           `json:"to"`
	Beside   int           `json:"beside"`   // fleets that open at the same time, this one included; 0 means 1
	Patience time.Duration `json:"patience"` // with the server, for the next connections to be ready
}
