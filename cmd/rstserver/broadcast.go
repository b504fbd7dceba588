package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"rstserver/bench"
	"rstserver/internal/prose"
)

const (
	// broadcastMessages is how many messages are sent in each run.
	broadcastMessages = 10
	maxBroadcastBytes = 1 << 20
)

// broadcast measures what --broadcast asks for, and prints a table.
func (c *benchCommand) broadcast(cmp *bench.Comparison, stdout, stderr io.Writer) error {
	if c.Bytes < 1 || c.Bytes > maxBroadcastBytes {
		return usage("--bytes=%d: it must be from 1 to %s", c.Bytes, prose.Grouped(maxBroadcastBytes))
	}
	b := bench.Broadcast{N: cmp.N[0], Bytes: c.Bytes, Rounds: cmp.Runs, Messages: broadcastMessages, Patience: bench.DefaultPatience}
	for _, s := range cmp.Servers {
		if s.Paths.Room != "" {
			b.Servers = append(b.Servers, s)
			continue
		}
		fmt.Fprintf(stderr, "%s is left out: it has no path by which a message goes to all; a server is given one with room=PATH\n", s.Name)
	}
	if len(b.Servers) == 0 {
		return errors.New("nothing can be measured: no server has a path by which a message goes to all; see room=PATH of --server")
	}
	ctx, stop := context.WithCancelCause(context.Background())
	defer stop(nil)
	defer onInterruption(ctx, func(cut *interruption) { stop(cut) })()
	all, measured := b.Measure(ctx)
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
	fmt.Fprintf(w, "%s bytes to %s WebSockets, %d runs in turn of %d messages each; medians\n\n", prose.Grouped(c.Bytes), prose.Grouped(b.N), cmp.Runs, broadcastMessages)
	fmt.Fprintln(w, "server\tlast client after\tprocessor time\tmemory for each")
	for _, s := range all {
		if len(s.CPU) > 0 {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s bytes\n", s.Server, bench.Median(s.Last).Round(10*time.Microsecond), bench.Median(s.CPU).Round(10*time.Microsecond),
				prose.Grouped(bench.Median(s.Memory)))
		}
	}
	return errors.Join(measured, w.Flush())
}
