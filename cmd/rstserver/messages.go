package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"rstserver/bench"
	"rstserver/bench/kinds"
	"rstserver/internal/prose"
)

const (
	// broadcastMessages is how many messages are sent in each run.
	broadcastMessages = 10
	// echoTime is how long messages come back in each run.
	echoTime        = 2 * time.Second
	maxMessageBytes = 1 << 20
	broadcastBytes  = 116
	echoBytes       = 64
)

// bytes is the length of a message.
func (c *benchCommand) bytes(otherwise, least int) (int, error) {
	if c.Bytes == nil {
		return otherwise, nil
	}
	if *c.Bytes < least || *c.Bytes > maxMessageBytes {
		return 0, usage("--bytes=%d: it must be from %d to %s", *c.Bytes, least, prose.Grouped(maxMessageBytes))
	}
	return *c.Bytes, nil
}

// broadcast measures what --broadcast asks for, and prints a table.
func (c *benchCommand) broadcast(cmp *bench.Comparison, stdout, stderr io.Writer) error {
	kind, least := kinds.WebSocket, 1
	if slices.Contains(c.Kind, string(kinds.SSE)) {
		kind, least = kinds.SSE, 8 // by which an event is told from others
	}
	bytes, err := c.bytes(broadcastBytes, least)
	if err != nil {
		return err
	}
	if c.Stalled < 0 || c.Stalled > maxConnections {
		return usage("--stalled=%d: it must be from 0 to %s", c.Stalled, prose.Grouped(maxConnections))
	}
	b := bench.Broadcast{Kind: kind, N: cmp.N[0], Stalled: c.Stalled, Bytes: bytes, Runs: cmp.Runs, Messages: broadcastMessages}
	b.Servers = able(cmp.Servers, b.Lack, stderr)
	if len(b.Servers) == 0 {
		return errors.New("nothing can be measured: no server has a path by which a message goes to all; see room=PATH and event-room=PATH of --server")
	}
	return inOneGo(c, b.Measure, stdout, func(w io.Writer, all []bench.Broadcasts) {
		stalled := ""
		if b.Stalled > 0 {
			stalled = fmt.Sprintf(" and %s that do not read", prose.Grouped(b.Stalled))
		}
		fmt.Fprintf(w, "%s bytes to %s %s%s, %d runs in turn of %d messages each; medians\n\n", prose.Grouped(b.Bytes), prose.Grouped(b.N),
			map[kinds.Kind]string{kinds.WebSocket: "WebSockets", kinds.SSE: "event streams"}[kind], stalled, cmp.Runs, broadcastMessages)
		fmt.Fprintln(w, "server\tlast client after\tprocessor time\tGET meanwhile\tat most\tmemory for each")
		for _, s := range all {
			if len(s.CPU) == 0 {
				continue
			}
			get, most := "-", "-"
			if len(s.Get) > 0 {
				get, most = bench.Median(s.Get).Round(10*time.Microsecond).String(), slices.Max(s.Get).Round(10*time.Microsecond).String()
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s bytes\n", s.Server, bench.Median(s.Last).Round(10*time.Microsecond),
				bench.Median(s.CPU).Round(10*time.Microsecond), get, most, prose.Grouped(bench.Median(s.Memory)))
		}
	})
}

// echo measures what --echo asks for, and prints a table.
func (c *benchCommand) echo(cmp *bench.Comparison, stdout, stderr io.Writer) error {
	bytes, err := c.bytes(echoBytes, 1)
	if err != nil {
		return err
	}
	e := bench.Echo{N: cmp.N[0], Bytes: bytes, Runs: cmp.Runs, For: echoTime}
	e.Servers = able(cmp.Servers, e.Lack, stderr)
	if len(e.Servers) == 0 {
		return errors.New("nothing can be measured: no server has a WebSocket that sends back what it is sent; see websocket=PATH of --server")
	}
	return inOneGo(c, e.Measure, stdout, func(w io.Writer, all []bench.Echoes) {
		fmt.Fprintf(w, "%s bytes there and back over %s WebSockets, one after the other on each, %d runs in turn of %s; medians\n\n",
			prose.Grouped(e.Bytes), prose.Grouped(e.N), cmp.Runs, e.For)
		fmt.Fprintln(w, "server\tmessages a second\tprocessor time for each\tmemory of a connection after its first")
		for _, s := range all {
			if len(s.CPU) > 0 {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s bytes\n", s.Server, prose.Grouped(int(bench.Median(s.Rate))),
					bench.Median(s.CPU).Round(10*time.Nanosecond), prose.Grouped(bench.Median(s.Memory)))
			}
		}
	})
}

// able are the servers that lack nothing. The others are named, and what they lack.
func able(servers []bench.Server, lack func(bench.Server) error, stderr io.Writer) (able []bench.Server) {
	for _, s := range servers {
		if err := lack(s); err != nil {
			fmt.Fprintf(stderr, "%s is left out: %v\n", s.Name, err)
			continue
		}
		able = append(able, s)
	}
	return able
}

// inOneGo measures, and writes what came of it, by table or in JSON, also when a signal has cut it short.
func inOneGo[T any](c *benchCommand, measure func(context.Context) ([]T, error), stdout io.Writer, table func(io.Writer, []T)) error {
	ctx, stop := context.WithCancelCause(context.Background())
	defer stop(nil)
	defer onInterruption(ctx, func(cut *interruption) { stop(cut) })()
	all, measured := measure(ctx)
	var cut *interruption
	if errors.As(measured, &cut) {
		measured = &exitError{code: exitSignal + int(cut.signal), err: cut}
	}
	if c.JSON != nil && *c.JSON != "-" {
		f, err := os.Create(*c.JSON)
		if err != nil {
			return errors.Join(measured, usage("--json: %w", err))
		}
		return errors.Join(measured, json.NewEncoder(f).Encode(all), f.Close())
	}
	if c.JSON != nil {
		return errors.Join(measured, json.NewEncoder(stdout).Encode(all))
	}
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	table(w, all)
	return errors.Join(measured, w.Flush())
}
