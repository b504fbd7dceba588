//go:build linux

package servers

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/backend/memory"
	imap "github.com/emersion/go-imap/server"
	"github.com/emersion/go-smtp"
	"github.com/miekg/dns"
	"github.com/tidwall/redcon"

	"rstserver/linger"
	"rstserver/linger/interop/internal/fleet"
)

// eachConn is the usual loop of a server that is written by hand.
func eachConn(serve func(*fleet.Served, net.Conn)) func(testing.TB) *fleet.Served {
	return func(t testing.TB) *fleet.Served {
		return fleet.Start(t, linger.ListenConfig{}, func(s *fleet.Served) error {
			var serving sync.WaitGroup
			defer serving.Wait()
			for {
				c, err := s.Accept()
				if err != nil {
					return err
				}
				serving.Go(func() {
					defer c.Close()
					serve(s, c)
				})
			}
		})
	}
}

// mailbox takes mail of any kind.
type mailbox struct{}

func (mailbox) Reset()                               {}
func (mailbox) Logout() error                        { return nil }
func (mailbox) Mail(string, *smtp.MailOptions) error { return nil }
func (mailbox) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (mailbox) Data(r io.Reader) error               { _, err := io.Copy(io.Discard, r); return err }

func startSMTP(t testing.TB) *fleet.Served {
	srv := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return mailbox{}, nil }))
	srv.ErrorLog = fleet.Quiet
	return fleet.Start(t, linger.ListenConfig{}, func(s *fleet.Served) error {
		s.Shutdown = srv.Shutdown
		return srv.Serve(s.Listener)
	})
}

func startIMAP(t testing.TB) *fleet.Served {
	srv := imap.New(memory.New())
	srv.ErrorLog = fleet.Quiet
	return fleet.Start(t, linger.ListenConfig{}, func(s *fleet.Served) error { return srv.Serve(s.Listener) })
}

func startRedcon(t testing.TB) *fleet.Served {
	return fleet.Start(t, linger.ListenConfig{}, func(s *fleet.Served) error {
		return redcon.Serve(s.Listener, func(c redcon.Conn, _ redcon.Command) { c.WriteString("PONG") }, nil, nil)
	})
}

func startDNS(t testing.TB) *fleet.Served {
	return fleet.Start(t, linger.ListenConfig{}, func(s *fleet.Served) error {
		srv := &dns.Server{
			Listener:    s.Listener,
			ReadTimeout: time.Hour, // two seconds by default
			IdleTimeout: func() time.Duration { return time.Hour },
			Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
				_ = w.WriteMsg(new(dns.Msg).SetReply(q))
			}),
		}
		s.Shutdown = srv.ShutdownContext
		return srv.ActivateAndServe()
	})
}

func dnsStates(t testing.TB) []fleet.State {
	wire, err := new(dns.Msg).SetQuestion("example.com.", dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	wire = append([]byte{byte(len(wire) >> 8), byte(len(wire))}, wire...)
	return []fleet.State{
		{Name: "new", Open: fleet.Raw(talk())},
		{Name: "half a request", Open: fleet.Raw(talk(">" + string(wire[:10])))},
		{Name: "idle", Open: fleet.Raw(func(c *fleet.RawClient) error {
			if err := c.Send(string(wire)); err != nil {
				return err
			}
			_, err := io.CopyN(io.Discard, c.Reader, int64(len(wire))) // the answer is as long
			return err
		})},
	}
}
