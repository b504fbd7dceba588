package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"rstserver/linger"
	"rstserver/poller"
)

type serveCommand struct {
	Addr           string        `default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Address to listen on. An empty host means all addresses of both families, port 0 a free one. Default: ${default}."`
	Loops          int           `default:"0" placeholder:"N" help:"Event loops. Default: one for each processor that Go uses (GOMAXPROCS)."`
	MaxConns       int           `default:"0" placeholder:"N" help:"Connections held at a time; further clients wait in the kernel's queue. Default: what the limit of open files allows."`
	HeaderTimeout  time.Duration `default:"60s" placeholder:"D" help:"Time for a request's head, after which the client gets 408. 0: none. Default: ${default}."`
	IdleTimeout    time.Duration `default:"3m" placeholder:"D" help:"Time between two requests, after which the connection is closed. 0: none. Default: ${default}."`
	MaxHeaderBytes int           `default:"65536" placeholder:"N" help:"Bytes of a request's head; more are answered with 431. Default: ${default}."`
	MaxBodyBytes   int64         `default:"10485760" placeholder:"N" help:"Bytes of a request's content; more are answered with 413. 0: no bound. Default: ${default}."`
	ShutdownAfter  time.Duration `default:"0s" placeholder:"D" help:"Count down this long, then abort. Default: serve until a signal comes."`
	NoArm          bool          `help:"Do not arm the connections from birth: if the process is killed, they are left in TIME_WAIT."`
	Reuseport      bool          `help:"Set SO_REUSEPORT, so that several processes can serve one port."`
	LogConns       bool          `help:"Log each connection that is opened, closed or aborted, with its number."`
	LogFormat      string        `enum:"text,json" default:"text" placeholder:"text|json" help:"Form of the logs on stderr and of the output on stdout. Default: ${default}."`
	Quiet          bool          `help:"Log nothing below errors."`
}

// check refuses values that no server could work with.
func (c *serveCommand) check() error {
	if err := checkAddr(c.Addr); err != nil {
		return &exitError{exitUsage, err}
	}
	for _, v := range []struct {
		flag      string
		n         int64
		low, high int64
	}{
		{"--loops", int64(c.Loops), 0, 1024},
		{"--max-conns", int64(c.MaxConns), 0, math.MaxInt32},
		{"--max-header-bytes", int64(c.MaxHeaderBytes), 1, math.MaxInt32},
		{"--max-body-bytes", c.MaxBodyBytes, 0, math.MaxInt64},
	} {
		if v.n < v.low || v.n > v.high {
			return usage("%s=%d: it must be from %d to %d", v.flag, v.n, v.low, v.high)
		}
	}
	for _, v := range []struct {
		flag string
		d    time.Duration
	}{
		{"--header-timeout", c.HeaderTimeout},
		{"--idle-timeout", c.IdleTimeout},
		{"--shutdown-after", c.ShutdownAfter},
	} {
		if v.d < 0 {
			return usage("%s=%s: it must not be negative; 0 means none", v.flag, v.d)
		}
	}
	return nil
}

func (c *serveCommand) server(log *slog.Logger) *poller.Server {
	srv := &poller.Server{
		LoopHandler:    poller.LoopHandlerFunc(route),
		Loops:          c.Loops,
		MaxConns:       c.MaxConns,
		HeaderTimeout:  orNone(c.HeaderTimeout),
		IdleTimeout:    orNone(c.IdleTimeout),
		MaxHeaderBytes: c.MaxHeaderBytes,
		MaxBodyBytes:   orNone(c.MaxBodyBytes),
		NoArm:          c.NoArm,
		ReusePort:      c.Reuseport,
		Logger:         log,
	}
	// Whatever may come in has to be allowed out again.
	srv.MaxOutputBytes = max(poller.DefaultMaxOutputBytes, int(min(c.MaxBodyBytes, maxEcho)))
	if c.MaxBodyBytes == 0 {
		srv.MaxOutputBytes = maxEcho
	}
	if c.LogConns {
		logConn := func(what string) func(poller.Conn) {
			return func(conn poller.Conn) { log.Info("connection "+what, "conn", conn.ID, "remote", conn.Remote) }
		}
		srv.ConnOpened, srv.ConnClosed, srv.ConnAborted = logConn("opened"), logConn("closed"), logConn("aborted")
	}
	return srv
}

// orNone maps 0, which on the command line means none, to what a Server takes for that.
func orNone[T time.Duration | int64](v T) T {
	if v == 0 {
		return -1
	}
	return v
}

// run serves until a signal or the countdown ends it.
func (c *serveCommand) run(stdout, stderr io.Writer) error {
	if err := c.check(); err != nil {
		return err
	}
	buffer := newLogBuffer(stderr, func(lines int) []byte {
		var b bytes.Buffer
		c.logger(&b).Error("lines of the log were dropped, as nobody read stderr", "lines", lines)
		return b.Bytes()
	})
	log := c.logger(buffer)
	defer buffer.close()
	err := c.serve(stdout, log)
	if err != nil && c.LogFormat == "json" {
		// Whoever reads stderr expects nothing else.
		log.Error(err.Error())
		return &exitError{code: exitFailed}
	}
	return err
}

func (c *serveCommand) serve(stdout io.Writer, log *slog.Logger) error {
	srv := c.server(log)
	served := false // what Serve calls and what comes after Serve are one after the other
	out := &reportingWriter{w: stdout, log: log}
	srv.Serving = func(addr netip.AddrPort) {
		served = true
		c.printListening(out, addr)
	}

	// Before the port is open, so that no signal meets the default action once somebody can connect.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	// A reader of stdout or stderr that goes away must not take the server with it.
	signal.Ignore(syscall.SIGPIPE)
	defer signal.Reset(syscall.SIGPIPE)

	ln, err := poller.Listen(context.Background(), c.Addr, c.Reuseport)
	if err != nil {
		return explainListen(c.Addr, err)
	}
	countdown := newCountdown(c.ShutdownAfter, log)
	defer countdown.stop()
	l := life{
		serve:   func() error { return c.explainServe(srv.Serve(ln)) },
		close:   srv.Close,
		report:  srv.Report,
		signals: signals,
		over:    countdown.over,
		log:     log,
		print: func(rep linger.Report) {
			if served { // a start that failed has nothing to report but the failure
				c.printReport(out, rep)
			}
		},
	}
	return l.run()
}

// explainServe puts the flag's name in the place of the option's, and says what can be done.
func (c *serveCommand) explainServe(err error) error {
	var files *poller.FileLimitError
	switch {
	case errors.As(err, &files):
		return fmt.Errorf("--max-conns=%d is too many: the limit of open files (RLIMIT_NOFILE) is %d and leaves room for %d "+
			"connections: raise the limit (ulimit -n, LimitNOFILE=) or lower --max-conns", files.MaxConns, files.Limit, files.Room)
	case errors.Is(err, syscall.EMFILE):
		return fmt.Errorf("%w: raise the limit of open files (ulimit -n, LimitNOFILE=) or lower --loops", err)
	}
	return err
}

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
	url := "http://" + addr.String()
	if c.LogFormat == "json" {
		printJSON(w, struct {
			Listening string `json:"listening_on"`
		}{url})
		return
	}
	fmt.Fprintln(w, "listening on", url)
}

func (c *serveCommand) printReport(w io.Writer, rep linger.Report) {
	if c.LogFormat == "json" {
		printJSON(w, rep)
		return
	}
	fmt.Fprintln(w, rep)
}

func printJSON(w io.Writer, v any) {
	_ = json.NewEncoder(w).Encode(v)
}
