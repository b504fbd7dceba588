//go:build linux

package poller

import (
	"net/http"
	"testing"

	"rstserver/internal/lingertest"
)

// The watcher knows nothing any more of a connection that is closed, whatever it was that closed it: an entry would hold the
// connection, with the output that its client did not take, for as long as nobody waits under the same number.
func TestWatcherForgetsClosed(t *testing.T) {
	for _, onWorker := range []bool{false, true} {
		name := map[bool]string{false: "output of the loop", true: "a handler that is cut off"}[onWorker]
		t.Run(name, func(t *testing.T) {
			srv := &Server{Loops: 1, LoopHandler: LoopHandlerFunc(bytesHandler)}
			want := sending
			if onWorker {
				want = handling
				srv.LoopHandler = nil
				srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					for piece := make([]byte, 64<<10); ; {
						if _, err := w.Write(piece); err != nil {
							return
						}
					}
				})
			}
			s := start(t, srv)
			const n = 10
			for range n {
				s.dialSlow(t).send("GET /bytes HTTP/1.1\r\nHost: x\r\n\r\n")
			}
			l := s.run.loops[0]
			var cs []*conn
			lingertest.Wait(t, "all wait for their clients", func() bool {
				cs = nil
				onLoop(l, func() {
					for kind := range l.lists {
						for c := l.lists[kind].first; c != nil; c = c.next {
							if c.state == want && s.run.watcher.Awaits(c.sock.FD) {
								cs = append(cs, c)
							}
						}
					}
				})
				return len(cs) == n
			})
			lingertest.Wait(t, "they have ended", func() bool {
				onLoop(l, func() {
					for _, c := range cs {
						if c.state == want {
							table[want].late(c)
							c.settle()
						}
					}
				})
				return s.run.live.Load() == 0
			})
			for _, c := range cs {
				if s.run.watcher.Awaits(c.sock.FD) {
					t.Errorf("the watcher still has connection %d, which is closed", c.id)
				}
			}
		})
	}
}
