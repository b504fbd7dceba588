//go:build !linux

package poller

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"time"

	"rstserver/linger"
)

// What there is on Linux alone is here so that programs which use it can be compiled elsewhere. A Server does not serve there.

var errElsewhere = fmt.Errorf("poller: on %s there is no server, only on Linux: %w", runtime.GOOS, errors.ErrUnsupported)

// LingerTimeout is how long a connection on which the last answer was sent waits for its client.
const LingerTimeout = 5 * time.Second

type (
	run      struct{}
	conn     struct{}
	upgrade  struct{}
	h2Writer struct{}
)

// Listen is [net.Listen]. reusePort has no effect.
func Listen(ctx context.Context, addr string, reusePort bool) (net.Listener, error) {
	var lc net.ListenConfig
	return lc.Listen(ctx, "tcp", addr)
}

// ListenAndServe returns an error that wraps [errors.ErrUnsupported].
func ListenAndServe(addr string, handler http.Handler) error {
	return (&Server{Addr: addr, Handler: handler}).ListenAndServe()
}

// ListenAndServe returns an error that wraps [errors.ErrUnsupported], or says what is wrong with the options.
func (s *Server) ListenAndServe() error {
	_, err := s.config()
	return errors.Join(err, errElsewhere)
}

// ListenAndServeTLS returns what ListenAndServe does.
func ListenAndServeTLS(addr, certFile, keyFile string, handler http.Handler) error {
	return ListenAndServe(addr, handler)
}

// ListenAndServeTLS returns what ListenAndServe does.
func (s *Server) ListenAndServeTLS(certFile, keyFile string) error { return s.ListenAndServe() }

// ServeTLS is Serve.
func (s *Server) ServeTLS(ln net.Listener, certFile, keyFile string) error { return s.Serve(ln) }

// Serve closes ln, and returns what ListenAndServe does.
func (s *Server) Serve(ln net.Listener) error {
	if ln != nil {
		_ = ln.Close()
	}
	return s.ListenAndServe()
}

// Close, Shutdown and Release have nothing to end.

func (s *Server) Close() error                       { return nil }
func (s *Server) Shutdown(ctx context.Context) error { return nil }
func (s *Server) HandOver(ctx context.Context) error { return nil }
func (s *Server) Release() error                     { return nil }
func (s *Server) Ping(ctx context.Context) error     { return nil }

// SetKeepAlivesEnabled has no effect.
func (s *Server) SetKeepAlivesEnabled(enabled bool) {}

// Report is that of a Server that does not serve.
func (s *Server) Report() linger.Report { return linger.Report{} }

// SetMaxConns and SetMaxBufferedBytes return an error that wraps [errors.ErrUnsupported].

func (s *Server) SetMaxConns(n int) error           { return errElsewhere }
func (s *Server) SetMaxBufferedBytes(n int64) error { return errElsewhere }

// Stats are those of a Server that does not serve.
func (s *Server) Stats() Stats { return Stats{} }

// Conns, AbortConns and CloseConns find no connection.

func (s *Server) Conns(ctx context.Context, sel *Selector) ([]ConnInfo, error)      { return nil, nil }
func (s *Server) AbortConns(ctx context.Context, sel *Selector) ([]ConnInfo, error) { return nil, nil }
func (s *Server) CloseConns(ctx context.Context, sel *Selector) ([]ConnInfo, error) { return nil, nil }

// ListenerAddr is not valid.
func (s *Server) ListenerAddr() netip.AddrPort { return netip.AddrPort{} }

// AfterAnswer reports false, as there are no answers.
func AfterAnswer(ctx context.Context, f func()) bool { return false }

// RemoteAddr is not valid, as there are no requests.
func (r *Request) RemoteAddr() netip.AddrPort { return netip.AddrPort{} }

// TLS is nil.
func (r *Request) TLS() *tls.ConnectionState { return nil }

// LocalAddr returns an error.
func (r *Request) LocalAddr() (netip.AddrPort, error) { return netip.AddrPort{}, errElsewhere }

// FileLimitError is returned by Serve on Linux.
type FileLimitError struct {
	MaxConns int
	Limit    int
	Room     int
}

func (e *FileLimitError) Error() string {
	return "poller: Server.MaxConns is beyond the limit of open files"
}

func checkFileLimit(int) error { return nil }

func defaultMaxBufferedBytes() int64 { return 0 }
