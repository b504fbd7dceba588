package bench

import (
	"net/netip"
	"time"
)

// Target is a server as its clients know it.
type Target struct {
	Addr  netip.AddrPort `json:"addr"`
	Paths Paths          `json:"paths"`
	Late  time.Duration  `json:"late"` // that an InFlight request takes
}

// Order is which connections a Fleet is to open: those of a mix from one number to another, so that several fleets can share
// one mix.
type Order struct {
	Target   Target        `json:"target"`
	Mix      Mix           `json:"mix"`
	From     int           `json:"from"`
	To       int           `json:"to"`
	Patience time.Duration `json:"patience"` // for all of them to be ready
}
