package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/netip"

	"rstserver/linger"
)

// logger is the log at that level.
func (c *serveCommand) logger(stderr io.Writer, level slog.Leveler) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Value.Kind() == slog.KindDuration {
			a.Value = slog.StringValue(a.Value.Duration().String()) // with its unit in JSON too
		}
		return a
	}}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(stderr, opts))
	}
	return slog.New(slog.NewTextHandler(stderr, opts))
}

// reportingWriter logs what cannot be written.
type reportingWriter struct {
	w   io.Writer
	log *slog.Logger
}

func (r *reportingWriter) Write(p []byte) (int, error) {
	n, err := r.w.Write(p)
	if err != nil {
		r.log.Error("stdout cannot be written to", "error", err, "lost", string(p[n:]))
	}
	return n, err
}

// printFront names an address beside the server's, such as that of --health.
func (c *serveCommand) printFront(w io.Writer, what, address string) {
	if c.LogFormat == "json" {
		printJSON(w, map[string]string{what + "_on": address})
		return
	}
	fmt.Fprintf(w, "%s on %s\n", what, address)
}

func (c *serveCommand) printListening(w io.Writer, addr netip.AddrPort) {
	url := c.scheme() + "://" + addr.String()
	if c.LogFormat == "json" {
		printJSON(w, struct {
			Listening string `json:"listening_on"`
		}{url})
		return
	}
	fmt.Fprintln(w, "listening on", url)
}

func (c *serveCommand) printReport(w io.Writer, columns int, rep linger.Report) {
	if c.LogFormat == "json" {
		printJSON(w, rep)
		return
	}
	fmt.Fprintln(w, rep.Text(columns))
}

func printJSON(w io.Writer, v any) {
	_ = json.NewEncoder(w).Encode(v)
}
