package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"

	"rstserver/linger"
	"rstserver/linger/handover"
	"rstserver/poller"
)

func (c *serveCommand) server(s *site, log *slog.Logger) *poller.Server {
	srv := &poller.Server{
		LoopHandler:       s,
		Handler:           s,
		OnLoop:            s.onLoop,
		LoopContent:       s.loopContent,
		Loops:             c.Loops,
		MaxConns:          c.MaxConns,
		MaxConnsPerClient: c.MaxConnsPerClient, ConnRatePerClient: c.ConnRatePerClient,
		ProxyProtocol: c.ProxyProtocol, TrustedProxies: c.proxies(),
		HandshakeTimeout: orNone(c.HandshakeTimeout),
		MaxHandshakes:    c.MaxHandshakes,
		HeaderTimeout:    orNone(c.HeaderTimeout),
		BodyTimeout:      orNone(c.BodyTimeout),
		HandlerTimeout:   c.HandlerTimeout,
		MinBodyRate:      orNone(c.MinBodyRate),
		MinWriteRate:     c.MinWriteRate,
		RateGrace:        c.RateGrace,
		UpgradeIdle:      c.UpgradeIdle,
		Delay:            c.DrainDelay,
		Spread:           c.DrainSpread,
		WriteTimeout:     orNone(c.WriteTimeout),
		IdleTimeout:      orNone(c.IdleTimeout),
		MaxHandlers:      c.MaxHandlers,
		MaxHeaderBytes:   int(c.MaxHeaderBytes),
		MaxBodyBytes:     int64(orNone(c.MaxBodyBytes)),
		StrictTargets:    true, // it knows all of its own
		ExitAfterClose:   !c.LogConns,
		NoArm:            c.NoArm,
		Sweep:            c.Sweep,
		Logger:           log,
	}
	srv.Protocols = new(http.Protocols)
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetHTTP2(c.HTTP2 != "none")
	srv.Protocols.SetUnencryptedHTTP2(c.HTTP2 == "all")
	// Whatever may come in has to be allowed out again.
	srv.MaxOutputBytes = max(poller.DefaultMaxOutputBytes, int(min(int64(c.MaxBodyBytes), maxEcho)))
	if c.MaxBuffered != nil {
		srv.MaxBufferedBytes = int64(orNone(*c.MaxBuffered))
	}
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
func orNone[T ~int64](v T) T {
	if v == 0 {
		return -1
	}
	return v
}

// run serves until a signal or the countdown ends it.
func (c *serveCommand) run(stdout, stderr io.Writer) error {
	level := new(slog.LevelVar)
	level.Set(c.level())
	buffer := newLogBuffer(stderr, func(lines int) []byte {
		var b bytes.Buffer
		c.logger(&b, level).Error("lines of the log were dropped, as nobody read stderr", "lines", lines)
		return b.Bytes()
	})
	log := c.logger(buffer, level)
	audit := c.logger(buffer, slog.LevelInfo) // whatever the level is
	defer buffer.close()
	err := c.serve(stdout, log, audit, level)
	var exited *exitError
	if err != nil && c.LogFormat == "json" && !errors.As(err, &exited) {
		// Whoever reads stderr expects nothing else.
		log.Error(err.Error())
		return &exitError{code: exitFailed}
	}
	return err
}

func (c *serveCommand) serve(stdout io.Writer, log, audit *slog.Logger, level *slog.LevelVar) (err error) {
	var pidFile string
	if c.PIDFile != nil {
		pidFile = *c.PIDFile
	}
	// A predecessor is told of what is wrong with the flags, too.
	checked := c.check()
	h, err := handover.New(handover.Options{PIDFile: pidFile, Timeout: max(c.HandoverTimeout, 0), Open: c.open, Drain: -1, Logger: log})
	if err != nil {
		return err
	}
	defer h.Close()
	defer func() {
		if err != nil {
			h.Fail(err)
		}
	}()
	if checked != nil {
		return checked
	}
	s := &site{maxBody: int64(orNone(c.MaxBodyBytes))}
	if c.ProcessField != nil {
		s.processField, s.process = *c.ProcessField, strconv.Itoa(os.Getpid())
	}
	if c.Root != nil {
		root, err := os.OpenRoot(*c.Root)
		if err != nil {
			return fmt.Errorf("cannot open --root=%s: %w", *c.Root, err)
		}
		defer root.Close()
		s.files = newFiles(root)
	}
	secure, err := c.secure(log)
	if err != nil {
		return err
	}
	var out io.Writer = &reportingWriter{w: stdout, log: log}
	var answered func(poller.Answer)
	linesDropped := func() int64 { return 0 }
	if c.AccessLog != nil {
		access, err := openAccessLog(*c.AccessLog, stdout, c.accessLogIsJSON(), log)
		if err != nil {
			return err
		}
		defer access.close()
		answered, linesDropped = access.answered, access.lost.Load
		if *c.AccessLog == "-" {
			out = access // so that no line comes between the parts of another
		}
	}
	c.warnOfGrace(log)
	countdown := newCountdown(c.ShutdownAfter, log)
	defer countdown.stop()

	// Before the port is open, so that no signal meets the default action once somebody can connect.
	signals, hangups := make(chan os.Signal, 8), make(chan os.Signal, 1)
	signal.Notify(signals, lifeSignals...)
	signal.Notify(hangups, syscall.SIGHUP)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go secure.renew(ctx, hangups, log)
	// A reader of stdout or stderr that goes away must not take the server with it.
	signal.Ignore(syscall.SIGPIPE)
	manager := newManager(log)
	defer manager.stop()

	if _, err := os.Stat("/proc/self/fd"); err != nil {
		log.Warn("/proc is needed to name who holds the port, and what of this process is left on it: mount it (mount -t proc proc /proc)", "error", err)
	}
	addr := c.Addr
	if !c.addrGiven && len(h.Passed()) > 0 {
		addr = "" // what systemd has passed
	}
	var latest atomic.Pointer[poller.Server] // of which the process has one at a time that lives on
	go newGiveBack(func() linger.Report {
		if srv := latest.Load(); srv != nil {
			return srv.Report()
		}
		return linger.Report{}
	}).run(ctx)
	orders := newOrders()
	front, err := c.newFront(log, audit, level, h, tellSuccessors(h.Inherits()), latest.Load, orders, s.room.counters.Dropped.Load, linesDropped)
	if err != nil {
		return err
	}
	defer front.close() // what is open of it by then
	first := true
	var newLife func(before *life) (*life, error)
	newLife = func(before *life) (*life, error) {
		ln, err := h.Listen("tcp", addr)
		if err != nil {
			return nil, explainListen(c.Addr, err)
		}
		if err := front.open(); err != nil {
			_ = ln.Close()
			return nil, err
		}
		srv := c.server(s, log)
		srv.TLSConfig, srv.Answered = secure.config.Clone(), answered
		latest.Store(srv)
		served := false // what Serve calls and what comes after Serve are one after the other
		if first {
			srv.Ready = h.Ready
		}
		srv.Serving = func(addr netip.AddrPort) {
			served = true
			manager.watch(srv, h.Exit())
			var beside []func()
			front.serve(func(what, address string) {
				beside = append(beside, func() { c.printFront(out, what, address) })
			})
			go func(exit <-chan struct{}) {
				select {
				case <-exit:
					front.leave()
				case <-ctx.Done():
				}
			}(h.Exit())
			if before != nil {
				return // all of this was said
			}
			c.printListening(out, addr)
			for _, say := range beside {
				say()
			}
			countdown.begin()
		}
		first = false
		l := &life{
			serve:    func() error { return c.explainServe(secure.serve(srv, ln)) },
			release:  srv.Release,
			handOver: srv.HandOver,
			shutdown: srv.Shutdown,
			close:    srv.Close,
			report:   srv.Report,

			exit: h.Exit(), lost: h.Lost(),
			succession: &succession{
				start:  func() error { return h.HandOver(context.Background()) },
				close:  h.Close,
				notify: manager.notify,
			},

			drainTimeout: c.DrainTimeout,
			termDrains:   c.OnTerm == "drain",
			signals:      signals,
			orders:       orders.in,
			over:         countdown.over,
			log:          log,
			print: func(rep linger.Report) {
				if served { // a start that failed has nothing to report but the failure
					c.printReport(out, columnsOf(stdout), rep)
				}
			},
		}
		if before != nil {
			l.close = func() error {
				go before.close() // whose end is waited for all the same
				return srv.Close()
			}
		}
		l.succession.again = newLife
		return l, nil
	}
	l, err := newLife(nil)
	if err != nil {
		return err
	}
	err = l.run()
	orders.end(latest.Load().Report(), err)
	return err
}

// open opens a socket that nobody has passed.
func (c *serveCommand) open(ctx context.Context, _, addr string) (net.Listener, error) {
	return poller.Listen(ctx, addr, c.Reuseport)
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
