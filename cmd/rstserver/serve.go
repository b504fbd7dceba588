package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
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
		flag string
		n    int64
		low  int64
	}{
		{"--loops", int64(c.Loops), 0},
		{"--max-conns", int64(c.MaxConns), 0},
		{"--max-header-bytes", int64(c.MaxHeaderBytes), 1},
		{"--max-body-bytes", c.MaxBodyBytes, 0},
	} {
		if v.n < v.low {
			return usage("%s=%d: it must be at least %d", v.flag, v.n, v.low)
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
	log := c.logger(stderr)
	srv := c.server(log)
	srv.Serving = func(addr netip.AddrPort) { c.printListening(stdout, addr) }

	// Before the port is open, so that no signal meets the default action once somebody can connect.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)

	ln, err := poller.Listen(context.Background(), c.Addr, c.Reuseport)
	if err != nil {
		return explainListen(c.Addr, err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	countdown := newCountdown(c.ShutdownAfter, log)
	defer countdown.stop()
	closed := make(chan error, 1)
	closing := false
	abort := func(why string) {
		if !closing {
			closing = true
			log.Info("aborting", "reason", why)
			go func() { closed <- srv.Close() }()
		}
	}
	for {
		select {
		case sig := <-signals:
			if closing {
				return &exitError{exitFailed, fmt.Errorf("%s during the teardown: exiting at once", sig)}
			}
			abort(sig.String())
		case <-countdown.over:
			abort("countdown")
		case err := <-served:
			if !errors.Is(err, poller.ErrServerClosed) {
				// The server gave up by itself, and has torn down.
				if rep := srv.Report(); rep.Mode != linger.ModeNone {
					c.printReport(stdout, rep)
				}
				return err
			}
			err = <-closed
			rep := srv.Report()
			if rep.Mode == linger.ModeNone {
				return nil // the signal came before the server had begun
			}
			c.printReport(stdout, rep)
			return outcome(rep, err, log)
		}
	}
}

// outcome is what the exit code follows: whether all that the server held is gone, and verified to be.
func outcome(rep linger.Report, err error, log *slog.Logger) error {
	if !rep.Complete() {
		return errors.Join(errors.New("the teardown is not complete"), err)
	}
	if err != nil {
		log.Error("the teardown met with errors", "error", err)
	}
	return nil
}

func (c *serveCommand) logger(stderr io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{}
	if c.Quiet {
		opts.Level = slog.LevelError
	}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(stderr, opts))
	}
	return slog.New(slog.NewTextHandler(stderr, opts))
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
