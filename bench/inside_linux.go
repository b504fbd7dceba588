//go:build linux

package bench

import (
	"io"

	"rstserver/bench/internal/fleet"
	"rstserver/bench/internal/inside"
)

// InsideCommand is the sub-command with which the program that is given to [NewRoster] calls Inside, and ClientsCommand the one with
// which it calls ServeClients.
const (
	InsideCommand  = "bench-peer"
	ClientsCommand = "bench-clients"
)

// Inside serves on addr as one of the servers of a [Roster] that need no program of their own, until SIGTERM. With share, other
// processes can listen on the port too (SO_REUSEPORT).
func Inside(key, addr string, share bool) error { return inside.Serve(key, addr, share) }

// ServeClients is a process of clients: it opens the connections that it is told to by way of in, and says how they have ended.
func ServeClients(in io.Reader, out io.Writer) error { return fleet.Serve(in, out) }
