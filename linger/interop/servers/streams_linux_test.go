//go:build linux

package servers

import (
	"io"
	"net"
	"testing"

	"github.com/gliderlabs/ssh"
	"github.com/hashicorp/yamux"
	gossh "golang.org/x/crypto/ssh"

	"rstserver/linger"
	"rstserver/linger/interop/internal/fleet"
)

// inUse is a connection that a library of the client's reads from.
type inUse struct {
	below *fleet.Recorder
	close func() error
}

func (c *inUse) End() error {
	defer c.below.Close()
	err := c.below.Wait()
	_ = c.close()
	return err
}

func startSSH(t testing.TB) *fleet.Served {
	srv := new(ssh.Server)
	return fleet.Start(t, linger.ListenConfig{}, func(s *fleet.Served) error {
		srv.Handler = func(session ssh.Session) {
			defer s.Working()()
			_, _ = io.Copy(io.Discard, session)
		}
		s.Shutdown = srv.Shutdown
		return srv.Serve(s.Listener)
	})
}

func openSSH(_ testing.TB, s *fleet.Served) (fleet.Client, error) {
	below, err := s.Dial()
	if err != nil {
		return nil, err
	}
	conn, chans, requests, err := gossh.NewClientConn(below, "x", &gossh.ClientConfig{HostKeyCallback: gossh.InsecureIgnoreHostKey()})
	if err != nil {
		return nil, err
	}
	c := gossh.NewClient(conn, chans, requests)
	session, err := c.NewSession()
	if err != nil {
		return nil, err
	}
	if _, err := session.StdinPipe(); err != nil {
		return nil, err
	}
	return &inUse{below, c.Close}, session.Shell()
}

func quietMux() *yamux.Config {
	config := yamux.DefaultConfig()
	config.LogOutput, config.EnableKeepAlive = io.Discard, false
	return config
}

func openYamux(_ testing.TB, s *fleet.Served) (fleet.Client, error) {
	below, err := s.Dial()
	if err != nil {
		return nil, err
	}
	session, err := yamux.Client(below, quietMux())
	if err != nil {
		return nil, err
	}
	stream, err := session.Open()
	if err != nil {
		return nil, err
	}
	if _, err := stream.Write([]byte("x")); err != nil {
		return nil, err
	}
	_, err = io.ReadFull(stream, make([]byte, 1))
	return &inUse{below, session.Close}, err
}

func sshStates(t testing.TB) []fleet.State {
	return append(spoken("<SSH-2.0", ">SSH-2.0-x\r\n", ">\x00")(t), fleet.State{Name: "session", Open: openSSH, Handlers: 1})
}

func serveYamux(s *fleet.Served, c net.Conn) {
	session, err := yamux.Server(c, quietMux())
	if err != nil {
		return
	}
	for {
		stream, err := session.Accept()
		if err != nil {
			return
		}
		go func() {
			defer s.Working()()
			_, _ = io.Copy(stream, stream)
		}()
	}
}

func yamuxStates(testing.TB) []fleet.State {
	return []fleet.State{{Name: "new", Open: fleet.Raw(talk())}, {Name: "open stream", Open: openYamux, Handlers: 1}}
}
