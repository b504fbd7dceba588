// Package wsserver has what programs share whose WebSockets begin as requests of net/http: the server, the set of connections, and their end.
package wsserver

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"rstserver/bench/peers/hello"
)

// Conns are the open connections of a library, whose type of them is C. The zero value is empty. Any goroutine may call its methods.
type Conns[C comparable] struct {
	mu   sync.Mutex // guards what follows
	all  map[C]struct{}
	none chan struct{} // closed when there are none, if somebody waits for that
}

// Add adds one.
func (s *Conns[C]) Add(c C) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = make(map[C]struct{})
	}
	s.all[c] = struct{}{}
}

// Remove takes one out.
func (s *Conns[C]) Remove(c C) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, c)
	if len(s.all) == 0 && s.none != nil {
		close(s.none)
		s.none = nil
	}
}

// Each calls f with each, of which none is added or removed meanwhile.
func (s *Conns[C]) Each(f func(C)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.all {
		f(c)
	}
}

// empty is closed when there are none.
func (s *Conns[C]) empty() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	none := make(chan struct{})
	if len(s.all) == 0 {
		close(none)
	} else {
		s.none = none
	}
	return none
}

// patience is how long clients may take to go once they were told.
const patience = 5 * time.Second

// Serve serves what mux has, and the answer of package hello, until SIGTERM. Then net/http's Shutdown has tell be called with each connection, in a
// goroutine of its own, and Serve returns when all have gone, or after patience.
func (s *Conns[C]) Serve(addr string, mux *http.ServeMux, tell func(C)) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		log.Fatal(err)
	}
	mux.Handle("GET /{$}", hello.Handler)
	srv := &http.Server{Handler: mux}
	srv.RegisterOnShutdown(func() { s.Each(func(c C) { go tell(c) }) })
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	go func() {
		if err := srv.Serve(ln); err != http.ErrServerClosed {
			log.Fatal(err)
		}
	}()
	fmt.Println("listening on http://" + ln.Addr().String())
	<-signals
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_ = srv.Shutdown(ctx) // which waits for requests, and not for WebSockets
	select {
	case <-s.empty():
	case <-ctx.Done():
	}
}
