package main

import (
	"strconv"
	"time"

	"rstserver/bench"
	"rstserver/bench/kinds"
	"rstserver/internal/prose"
)

// ownWay is the way of --restart that is each server's own.
const ownWay = "own"

const (
	maxClients  = 10_000
	maxRestarts = 1000
	maxRate     = 100_000
)

// restarting is what the flags ask for with --restart. program is this one.
func (c *benchCommand) restarting(program string) (*bench.Restarts, error) {
	m := &bench.Restarts{N: bench.DefaultWorkers, Runs: c.Runs, Each: c.Restarts, Rate: c.Rate, Window: c.Window, Timeout: c.Timeout, Late: c.late(time.Second)}
	if err := c.checkTimes(); err != nil {
		return nil, err
	}
	switch {
	case len(c.N) > 1:
		return nil, usage("--n: with --restart it is one number, of clients")
	case len(c.N) == 1:
		n, err := strconv.Atoi(c.N[0])
		if err != nil || n < 1 || n > maxClients {
			return nil, usage("--n=%s: it has to be a number from 1 to %s, of clients", c.N[0], prose.Grouped(maxClients))
		}
		m.N = n
	}
	switch {
	case c.Restarts < 1 || c.Restarts > maxRestarts:
		return nil, usage("--restarts=%d: it must be from 1 to %s", c.Restarts, prose.Grouped(maxRestarts))
	case !(c.Rate > 0 && c.Rate <= maxRate):
		return nil, usage("--rate=%g: it must be more than 0, and %s at the most", c.Rate, prose.Grouped(maxRate))
	case c.Window <= 0:
		return nil, usage("--window=%s: it must be more than 0", c.Window)
	case len(c.Kind) > 1:
		return nil, usage("--kind: with --restart it is given once, for all clients")
	}
	work := bench.DefaultWork
	if len(c.Kind) == 1 {
		work = c.Kind[0]
	}
	var err error
	if m.Clients, err = kinds.ParseWork(work); err != nil {
		return nil, usage("--kind: %w", err)
	}
	roster := bench.NewRestartRoster(program, c.PeersDir, peersRemedy)
	if *c.Restart == ownWay {
		if len(c.Server) > 0 {
			return nil, usage("--restart=own: a server of --server has no way of its own: --restart says how it is restarted, and --peers names others beside it")
		}
		m.Servers, err = c.servers(roster)
	} else {
		m.Servers, err = c.restarted(roster)
	}
	if err != nil {
		return nil, err
	}
	if len(c.Kind) == 0 {
		// Of all kinds those that there are paths for.
		m.Clients = m.Able()
	}
	if err := m.Lacks(); err != nil {
		return nil, usage("--kind=%s: %w", work, err)
	}
	return m, nil
}

// restarted are the servers to which --restart gives a way, and those beside them that are named.
func (c *benchCommand) restarted(roster bench.Roster) ([]bench.Server, error) {
	way, err := bench.ParseWay(*c.Restart, commandWords)
	if err != nil {
		return nil, usage("--restart=%s: %w; or %s, each server in its own way", *c.Restart, err, ownWay)
	}
	if c.peersGiven && len(c.Server) == 0 {
		return nil, usage("--restart=%s: those of --peers have ways of their own: --restart %s, or name a --server", *c.Restart, ownWay)
	}
	if !c.peersGiven {
		c.Peers = list{"none"}
		if len(c.Server) == 0 {
			key := "rstserver"
			if way.StartsBeside() { // two cannot have one PID file
				key = "rstserver-reuseport"
			}
			ours, err := roster.Pick([]string{key})
			for i := range ours {
				ours[i].Name, ours[i].About, ours[i].Way = "rstserver", "", way
			}
			return ours, err
		}
	}
	servers, err := c.servers(roster)
	for i := range servers {
		if len(servers[i].Way.Steps) == 0 {
			servers[i].Way = way
		}
	}
	return servers, err
}
