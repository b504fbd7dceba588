//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"os"
	"sync"
	"time"

	"rstserver/bench/internal/fleet"
	"rstserver/bench/kinds"
	"rstserver/internal/layout"
	"rstserver/internal/wsframe"
)

// beside is what a server has to do beside answering.
type beside struct {
	What  string
	Kind  kinds.Kind  // of the connections that are held; empty: none are
	Paths kinds.Paths // that these ask for
	Only  string      // the server that can; empty: all
	Tells bool        // a message goes to all of them each second
}

const room = "/ws/room"

func (s settings) conditions() []beside {
	held := fmt.Sprintf("%d", s.Idle)
	return []beside{
		{What: "alone"},
		{What: held + " idle", Kind: kinds.Idle, Paths: kinds.Paths{Get: "/"}},
		{What: "broadcast to " + held, Kind: kinds.Upgraded, Paths: kinds.Paths{Upgrade: room, Protocol: "websocket"}, Only: "rstserver", Tells: true},
	}
}

// shares of what a server can do, at which it is asked.
var shares = []struct {
	name string
	of   float64
}{{"a quarter", 0.25}, {"a half", 0.5}, {"nine tenths", 0.9}}

// cell is a server in one condition at one rate.
type cell struct {
	server, condition string
	share             int
}

// waits are what clients have waited, in milliseconds, one figure of each round.
type waits struct{ rate, p50, p99, p999 []float64 }

// latency measures how long clients wait, from when each request was due, at fixed rates: shares of what each server can do alone.
func (s settings) latency(ctx context.Context, w io.Writer) error {
	var servers []server
	for _, one := range []server{s.ours(), s.peer("nethttp"), s.peer("nginx"), s.peer("fasthttp")} {
		if missing := one.missing(); missing != "" {
			fmt.Fprintln(os.Stderr, "serving: "+missing)
			continue
		}
		servers = append(servers, one)
	}
	cells := make(map[cell]*waits)
	can := make(map[string]float64)
	for _, one := range servers {
		fmt.Fprintf(s.Progress, "\rwhat %s can do\x1b[K", one.Name)
		rate, err := s.capacity(ctx, one)
		if err != nil {
			return err
		}
		can[one.Name] = rate
	}
	for round := range s.Rounds {
		for _, condition := range s.conditions() {
			for i := range servers {
				one := servers[(i+round)%len(servers)]
				if condition.Only != "" && condition.Only != one.Name {
					continue
				}
				fmt.Fprintf(s.Progress, "\rround %d of %d, %s, %s\x1b[K", round+1, s.Rounds, condition.What, one.Name)
				err := s.in(ctx, condition, one, func(addr netip.AddrPort) error {
					for share := range shares {
						o, err := s.open(ctx, addr, can[one.Name]*shares[share].of)
						if err != nil {
							return err
						}
						c := cell{one.Name, condition.What, share}
						if cells[c] == nil {
							cells[c] = new(waits)
						}
						cells[c].add(o)
					}
					return nil
				})
				if err != nil {
					return fmt.Errorf("%s, %s: %w", one.Name, condition.What, err)
				}
			}
		}
	}
	fmt.Fprint(s.Progress, "\r\x1b[K")
	t := layout.Text{Columns: 80}
	t.Wrap("", "", fmt.Sprintf("How long clients wait at fixed rates, shares of what each server can do alone, from when a request was due: ms, medians of %d rounds of %s in turn, 64 connections; – where the longest had no answer in twice that time", s.Rounds, s.For))
	for _, condition := range s.conditions() {
		table := [][]string{{condition.What, "of its most", "requests/s", "p50", "p99", "p99.9"}}
		for _, one := range servers {
			for share, of := range shares {
				if c := cells[cell{one.Name, condition.What, share}]; c != nil {
					table = append(table, []string{one.Name, of.name, fmt.Sprintf("%.0f", median(c.rate)), ms(c.p50), ms(c.p99), ms(c.p999)})
				}
			}
		}
		t.Line("")
		t.Table(table, []bool{false, false, true, true, true, true})
	}
	_, err := io.WriteString(w, t.String())
	return err
}

func (c *waits) add(o outcome) {
	in := func(share float64) float64 {
		if d := o.Quantile(share); d > 0 {
			return float64(d) / float64(time.Millisecond)
		}
		return math.Inf(1)
	}
	c.rate = append(c.rate, o.PerSecond())
	c.p50, c.p99, c.p999 = append(c.p50, in(0.5)), append(c.p99, in(0.99)), append(c.p999, in(0.999))
}

// ms is the median of milliseconds, of which some may be without end.
func ms(of []float64) string {
	m := median(of)
	if math.IsInf(m, 1) {
		return "–"
	}
	return fmt.Sprintf("%.3g", m)
}

// connections that ask, and the threads that do.
const (
	asking  = 64
	threads = 2
)

func nothing() error { return nil }

// capacity is how many requests a second a server answers to a closed loop.
func (s settings) capacity(ctx context.Context, one server) (rate float64, err error) {
	err = s.in(ctx, beside{}, one, func(addr netip.AddrPort) error {
		o, err := load{Addr: addr, Path: "/", Connections: asking, Depth: 1, For: s.For, Threads: threads}.run(ctx, nothing)
		rate = o.PerSecond()
		return err
	})
	return rate, err
}

func (s settings) open(ctx context.Context, addr netip.AddrPort, rate float64) (outcome, error) {
	return load{Addr: addr, Path: "/", Connections: asking, Rate: rate, For: s.For, Threads: threads}.run(ctx, nothing)
}

// in starts a server, has it in a condition, and calls do.
func (s settings) in(ctx context.Context, condition beside, one server, do func(netip.AddrPort) error) (err error) {
	p, end, err := one.start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	if condition.Kind == "" {
		return do(p.addr)
	}
	mix := fleet.All(s.Idle, condition.Kind)
	order := fleet.Order{Target: fleet.Target{Addr: p.addr, Paths: condition.Paths}, Mix: mix, To: s.Idle, Patience: time.Minute}
	held, err := order.Open(ctx, nil)
	if err != nil {
		return err
	}
	told, stop := context.WithCancel(ctx)
	var watching sync.WaitGroup
	defer func() {
		stop()
		watching.Wait()
		held.Close()
	}()
	failed := make(chan error, 1)
	watching.Go(func() { // f is this goroutine's until it ends
		for told.Err() == nil {
			e, err := held.Watch(100 * time.Millisecond)
			if n := e.By[fleet.Untold]; err == nil && n < s.Idle {
				err = fmt.Errorf("%d of the %d connections that are held have ended", s.Idle-n, s.Idle)
			}
			if err != nil {
				failed <- err
				return
			}
		}
	})
	if condition.Tells {
		speaker, err := join(p.addr)
		if err != nil {
			return err
		}
		defer speaker.Close()
		watching.Go(func() {
			for told.Err() == nil {
				_, _ = io.WriteString(speaker, wsframe.Masked(wsframe.Text, message))
				select {
				case <-told.Done():
				case <-time.After(time.Second):
				}
			}
		})
	}
	err = do(p.addr)
	select {
	case ended := <-failed:
		err = errors.Join(err, ended)
	default:
	}
	return err
}
