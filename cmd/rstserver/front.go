package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"rstserver/linger"
	"rstserver/linger/handover"
	"rstserver/poller"
	"rstserver/poller/admin"
)

// front is where the process is seen and steered: what --health and --admin open, served by net/http, beside the server. After a handover the
// successor's is where clients come; what they had begun goes on.
type front struct {
	health, admin string // addresses; admin can be unix:PATH
	token         string
	log           *slog.Logger
	handover      *handover.Handover
	generation    int

	healthHandler, adminHandler http.Handler
	metrics                     *scrapes

	mu      sync.Mutex     // guards what follows
	opened  []*frontServer // nobody serves them yet
	serving []*frontServer
}

// frontServer is one listener.
type frontServer struct {
	*http.Server
	ln   *linger.Listener
	kept *keptListener // around ln, from when it is served on
}

// frontWriteTimeout is how long an answer may take, from when its request has come. What goes on for longer puts it off with each write.
const frontWriteTimeout = 30 * time.Second

// frontPatience is how long the last answers may take in the end.
const frontPatience = time.Second

// newFront returns what the flags ask for; nothing is open yet.
func (c *serveCommand) newFront(log, audit *slog.Logger, level *slog.LevelVar, h *handover.Handover, predecessor int, server func() *poller.Server, o *orders, messages func() int64, lines func() int64) (*front, error) {
	f := &front{log: log, handover: h, generation: generation()}
	if c.Health != nil {
		f.health = *c.Health
	}
	if c.Admin != nil {
		f.admin = *c.Admin
	}
	if c.AdminTokenFile != nil {
		var err error
		if f.token, err = admin.ReadToken(*c.AdminTokenFile); err != nil {
			return nil, fmt.Errorf("--admin-token-file: %w", err)
		}
	}
	if f.health != "" {
		f.metrics = newScrapes(f.generation, predecessor, server, messages, lines, h.Gone(), log)
		mux := http.NewServeMux()
		mux.Handle("/", admin.Health(server))
		mux.Handle("GET /metrics", f.metrics)
		f.healthHandler = mux
	}
	if f.admin != "" {
		f.adminHandler = admin.New(admin.Options{
			Server: server, Logger: audit, Level: level, Order: o.give, Result: o.result, Over: o.over, Generation: f.generation,
		})
		if f.token != "" {
			f.adminHandler = admin.Guard(f.token, f.adminHandler)
		}
	}
	return f, nil
}

// isUnix reports whether the admin address is that of a unix socket, and its path.
func isUnix(address string) (path string, is bool) { return strings.CutPrefix(address, "unix:") }

// open opens what can be opened before the predecessor has let go, so that a start fails that could not be seen or steered.
func (f *front) open() error {
	var opened []*frontServer
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.opened = opened
	}()
	add := func(flag, address string, h http.Handler) error {
		ln, err := f.handover.Listen("tcp", distinct(flag, address))
		if err != nil {
			return fmt.Errorf("cannot listen on %s=%s: %w", flag, address, err)
		}
		opened = append(opened, f.on(ln, h))
		return nil
	}
	if f.health != "" {
		if err := add("--health", f.health, f.healthHandler); err != nil {
			return err
		}
	}
	if path, is := isUnix(f.admin); is && !f.handover.Inherits() && !f.took() {
		if err := f.openUnix(path, &opened); err != nil {
			return err
		}
	} else if f.admin != "" && !is {
		if err := add("--admin", f.admin, f.adminHandler); err != nil {
			return err
		}
	}
	return nil
}

// distinct is the address of a flag in a form of its own, where the port is any that is free: a Handover takes two questions for one address
// for the same socket.
func distinct(flag, address string) string {
	host, ok := strings.CutSuffix(address, ":0")
	if !ok {
		return address
	}
	if flag == "--health" {
		return host + ":00"
	}
	return host + ":000"
}

func (f *front) openUnix(path string, opened *[]*frontServer) error {
	ln, err := admin.ListenUnix(path, f.handover.Inherits() || f.took())
	if err != nil {
		return fmt.Errorf("--admin: %w", err)
	}
	wrapped, err := linger.Wrap(ln)
	if err != nil {
		_ = ln.Close()
		return fmt.Errorf("--admin: %w", err)
	}
	*opened = append(*opened, f.on(wrapped, f.adminHandler))
	return nil
}

// took reports whether this process has served before.
func (f *front) took() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.serving) > 0
}

func (f *front) on(ln *linger.Listener, h http.Handler) *frontServer {
	return &frontServer{Server: &http.Server{
		Handler: h, ConnContext: admin.ConnContext, ReadHeaderTimeout: 10 * time.Second, WriteTimeout: frontWriteTimeout, IdleTimeout: time.Minute,
		MaxHeaderBytes: 64 << 10,
		ErrorLog:       slog.NewLogLogger(f.log.Handler(), slog.LevelDebug),
	}, ln: ln}
}

// serve serves what open has opened, and what only who serves may open. say is told of the addresses.
func (f *front) serve(say func(what, address string)) {
	f.mu.Lock()
	opened := f.opened
	f.opened = nil
	f.mu.Unlock()
	if path, is := isUnix(f.admin); is && (f.handover.Inherits() || f.took()) {
		if err := f.openUnix(path, &opened); err != nil {
			f.log.Error("there is no admin socket", "error", err)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.metrics.comeBack()
	for _, s := range opened {
		f.serving = append(f.serving, s)
		s.kept = keepDescriptors(s.ln)
		s.ConnState = s.kept.note
		go s.Serve(s.kept)
		what, address := "admin", s.ln.Addr().String()
		if s.Handler == f.healthHandler {
			what = "health"
		}
		if s.ln.Addr().Network() == "unix" {
			_, path, _ := strings.Cut(f.admin, ":")
			address = "unix:" + path
		}
		say(what, address)
	}
}

// leave closes the listeners: a successor has the addresses. What is under way goes on, and the successor shows the metrics of both.
func (f *front) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.serving {
		_ = s.kept.Close()
		s.SetKeepAlivesEnabled(false)
	}
	f.metrics.stepAside()
}

// close ends all, once answers that are under way have come to their end, or frontPatience is over.
func (f *front) close() {
	f.mu.Lock()
	serving := f.serving
	for _, s := range f.opened {
		_, _ = s.ln.Abort()
	}
	f.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), frontPatience)
	defer cancel()
	var wait sync.WaitGroup
	for _, s := range serving {
		wait.Go(func() {
			_ = s.Shutdown(ctx)
			_ = s.Close()
			_ = s.kept.Close()
			_, _ = s.ln.Abort()
		})
	}
	wait.Wait()
	f.metrics.close()
}

const generationEnv, predecessorEnv = "RSTSERVER_GENERATION", "RSTSERVER_PREDECESSOR"

// generation counts the processes that have handed over to each other, from 1. Successors have the environment of this process.
func generation() int {
	n, err := strconv.Atoi(os.Getenv(generationEnv))
	if err != nil || n < 0 {
		n = 0
	}
	n++
	_ = os.Setenv(generationEnv, strconv.Itoa(n))
	return n
}

// tellSuccessors tells those who are started from now on whom they follow. It returns who this process's predecessor is, 0 if there is none.
func tellSuccessors(inherits bool) (predecessor int) {
	if inherits {
		predecessor, _ = strconv.Atoi(os.Getenv(predecessorEnv))
	} else {
		_ = os.Unsetenv(generationEnv) // of whoever has started it
	}
	_ = os.Setenv(predecessorEnv, strconv.Itoa(os.Getpid()))
	return predecessor
}

// checkFront refuses addresses that could not be meant.
func (c *serveCommand) checkFront() error {
	if c.Health != nil {
		if err := checkHostPort("--health", *c.Health); err != nil {
			return &exitError{exitUsage, err}
		}
	}
	for _, v := range []struct {
		flag, value, other string
		is                 *string
	}{{"--health", c.Addr, "--addr", c.Health}, {"--admin", c.Addr, "--addr", c.Admin}, {"--admin", deref(c.Health), "--health", c.Admin}} {
		if v.is != nil && v.value != "" && *v.is == v.value && !strings.HasSuffix(v.value, ":0") {
			return usage("%s=%s: %s has that address already: give it one of its own", v.flag, v.value, v.other)
		}
	}
	switch {
	case c.Admin == nil && c.AdminTokenFile != nil:
		return usage("--admin-token-file=%s: it is for --admin HOST:PORT: add that", *c.AdminTokenFile)
	case c.Admin == nil:
		return nil
	}
	if path, is := isUnix(*c.Admin); is {
		switch {
		case path == "" || len(path) > 100:
			return usage("--admin=%s: the path of a unix socket has 1 to 100 bytes", *c.Admin)
		case c.AdminTokenFile != nil:
			return usage("--admin-token-file=%s: a unix socket needs no token, as its mode lets in nobody else: leave it out", *c.AdminTokenFile)
		}
		return nil
	}
	if err := checkHostPort("--admin", *c.Admin); err != nil {
		return &exitError{exitUsage, fmt.Errorf("%w, or unix:PATH", err)}
	}
	host, _, _ := net.SplitHostPort(*c.Admin)
	if ip, err := netip.ParseAddr(host); err != nil || !ip.IsLoopback() {
		return usage("--admin=%s: it must be unix:PATH, or a loopback address such as 127.0.0.1:9901, for ssh -L from elsewhere", *c.Admin)
	}
	if c.AdminTokenFile == nil {
		return usage("--admin=%s: every user of this machine could connect there: add --admin-token-file FILE, or listen on unix:PATH", *c.Admin)
	}
	return nil
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func checkHostPort(flag, addr string) error {
	err := checkAddr(addr)
	if err != nil {
		return errors.New(strings.Replace(err.Error(), "--addr", flag, 1))
	}
	return nil
}
