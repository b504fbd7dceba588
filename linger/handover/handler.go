package handover

import (
	"io"
	"net/http"

	"github.com/felixge/httpsnoop"
)

// Handler returns next with "Connection: close" in every answer that begins when a successor has taken over, so that clients come back to
// that one: with HTTP/2, net/http sends GOAWAY for it. It is for net/http's server; poller says so by itself. SetKeepAlivesEnabled(false) of
// http.Server is no way to the same, as it closes idle connections at once, on which the next request may be under way. next nil
// means http.DefaultServeMux.
func (h *Handover) Handler(next http.Handler) http.Handler {
	if next == nil {
		next = http.DefaultServeMux
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		wroteHeader := false
		begin := func() {
			if !wroteHeader {
				wroteHeader = true
				if h.left.Load() {
					w.Header().Set("Connection", "close")
				}
			}
		}
		next.ServeHTTP(httpsnoop.Wrap(w, httpsnoop.Hooks{
			WriteHeader: func(writeHeader httpsnoop.WriteHeaderFunc) httpsnoop.WriteHeaderFunc {
				return func(code int) {
					if code >= 200 {
						begin()
					}
					writeHeader(code)
				}
			},
			Write: func(write httpsnoop.WriteFunc) httpsnoop.WriteFunc {
				return func(b []byte) (int, error) {
					begin()
					return write(b)
				}
			},
			ReadFrom: func(readFrom httpsnoop.ReadFromFunc) httpsnoop.ReadFromFunc {
				return func(src io.Reader) (int64, error) {
					begin()
					return readFrom(src)
				}
			},
			Flush: func(flush httpsnoop.FlushFunc) httpsnoop.FlushFunc {
				return func() {
					begin()
					flush()
				}
			},
		}), r)
		begin() // an answer without content
	})
}
