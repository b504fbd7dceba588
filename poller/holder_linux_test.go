//go:build linux

package poller

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"rstserver/internal/lingertest"
	"rstserver/linger"
	"rstserver/linger/sockdiag"
)

// A child that holds the listening socket makes every way of letting go incomplete, and is named, unless it was announced.
func TestChildHoldsTheListener(t *testing.T) {
	for name, letGo := range map[string]func(s *Server) error{
		"Close":    (*Server).Close,
		"Shutdown": func(s *Server) error { return s.Shutdown(context.Background()) },
		"Release":  (*Server).Release,
	} {
		for _, announced := range []string{"not", "by the Server", "by a linger.Listener"} {
			t.Run(fmt.Sprintf("%s/announced %s", name, announced), func(t *testing.T) {
				ln := listenAlone(t)
				who, release := lingertest.HoldElsewhere(t, ln)
				srv := &Server{Loops: 2, StuckGrace: DefaultStuckGrace}
				var served net.Listener = ln
				switch announced {
				case "by the Server":
					srv.Shared = true
				case "by a linger.Listener":
					var err error
					served, err = linger.ListenConfig{Shared: true}.Wrap(ln)
					lingertest.Must(t, err)
				}
				s := startOn(t, srv, served)
				s.holds = true
				err := letGo(s.Server)
				s.wait(t)
				rep, want := s.Report(), sockdiag.Counts{sockdiag.Listen: 1}
				if announced == "not" {
					lingertest.ExpectError(t, err, who, "LISTEN 1")
					if text := strings.Join(strings.Fields(rep.String()), " "); rep.Complete() || rep.Left.Unowned != want ||
						!strings.Contains(text, "held by "+who) {
						t.Errorf("Report() = %s, want it to name %s", rep, who)
					}
				} else if err != nil || !rep.Complete() || rep.Left.Others[sockdiag.Listen] != 1 || rep.Left.Unowned.Total() > 0 {
					t.Errorf("the end is %v, %s\nwant a listening socket of others", err, rep)
				}
				release()
				s.assertGone(t)
			})
		}
	}
}
