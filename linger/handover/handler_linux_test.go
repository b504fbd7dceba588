//go:build linux

package handover

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"rstserver/internal/lingertest"
)

// From when a successor has taken over every answer says that it is the last, however it begins; with HTTP/2 the connection goes away.
func TestHandler(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"nothing":     func(w http.ResponseWriter, r *http.Request) {},
		"Write":       func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") },
		"WriteHeader": func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTeapot) },
		"Flush":       func(w http.ResponseWriter, r *http.Request) { w.(http.Flusher).Flush() },
		"FlushError":  func(w http.ResponseWriter, r *http.Request) { http.NewResponseController(w).Flush() },
		"ReadFrom":    func(w http.ResponseWriter, r *http.Request) { io.Copy(w, strings.NewReader("hello")) },
		"informations": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			w.Write([]byte("hello"))
		},
	} {
		for _, http2 := range []bool{false, true} {
			for _, leaves := range []bool{false, true} {
				h := new(Handover)
				s := httptest.NewUnstartedServer(h.Handler(answer))
				s.EnableHTTP2 = http2
				s.StartTLS()
				handshakes := 0
				transport := s.Client().Transport.(*http.Transport)
				transport.TLSClientConfig.VerifyConnection = func(tls.ConnectionState) error { handshakes++; return nil }
				get := func() *http.Response {
					res, err := s.Client().Get(s.URL)
					lingertest.Must(t, err)
					_, err = io.Copy(io.Discard, res.Body)
					lingertest.Must(t, err)
					lingertest.Must(t, res.Body.Close())
					return res
				}
				get()
				h.left.Store(leaves)
				res := get()
				if !http2 && res.Close != leaves {
					t.Errorf("%s, left %v: the answer is the last: %v", name, leaves, res.Close)
				}
				if leaves {
					// A connection that goes away takes no more requests, in a moment.
					lingertest.Wait(t, name+": another connection", func() bool { get(); return handshakes > 1 })
				} else if handshakes != 1 {
					t.Errorf("%s: connections = %d, want 1", name, handshakes)
				}
				s.Client().CloseIdleConnections()
				s.Close()
			}
		}
	}
}

// What the server's ResponseWriter can do, the one that the handler gets can.
func TestHandlerKeepsInterfaces(t *testing.T) {
	s := httptest.NewServer(new(Handover).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, flusher := w.(http.Flusher)
		_, hijacker := w.(http.Hijacker)
		_, readerFrom := w.(io.ReaderFrom)
		_, pusher := w.(http.Pusher)
		if !flusher || !hijacker || !readerFrom || pusher {
			t.Errorf("Flusher, Hijacker, ReaderFrom, Pusher: %v, %v, %v, %v", flusher, hijacker, readerFrom, pusher)
		}
	})))
	res, err := s.Client().Get(s.URL)
	lingertest.Must(t, err)
	lingertest.Must(t, res.Body.Close())
	s.Client().CloseIdleConnections()
	s.Close()
}
