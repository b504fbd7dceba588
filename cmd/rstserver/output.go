package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/netip"

	"rstserver/linger"
)

func (c *serveCommand) logger(stderr io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Value.Kind() == slog.KindDuration {
			a.Value = slog.StringValue(a.Value.Duration().String()) // with its unit in JSON too
		}
		return a
	}}
	if c.Quiet {
		opts.Level = slog.LevelError
	}
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
