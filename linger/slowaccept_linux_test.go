//go:build linux

package linger

import (
	"net"
	"testing"

	"rstserver/internal/lingertest"
	"rstserver/linger/sockdiag"
)

// slowAccept is a listener that does something with a connection before it hands it out, such as to read a PROXY header.
type slowAccept struct {
	*net.TCPListener
	has, goOn chan struct{}
}

func (l *slowAccept) Accept() (net.Conn, error) {
	c, err := l.TCPListener.Accept()
	if err == nil {
		close(l.has)
		<-l.goOn
	}
	return c, err
}

// What a live Listener's Accept is about to return is the Listener's, although it does not know it yet.
func TestConnectionInsideAcceptIsItsListeners(t *testing.T) {
	s := listenWith(t, families[0].address, false)
	slow := &slowAccept{s.TCPListener, make(chan struct{}), make(chan struct{})}
	l, err := Wrap(slow)
	lingertest.Must(t, err)
	accepted := make(chan net.Conn, 1)
	go func() {
		c, _ := l.Accept()
		accepted <- c
	}()
	s.dial(t)
	<-slow.has
	want := sockdiag.Counts{sockdiag.Listen: 1, sockdiag.Established: 1}
	if left, err := Verify(Ending{Port: s.addr.Port()}); err != nil || left.Others != want || left.Unowned.Total() > 0 {
		t.Errorf("Verify = %+v, %v, want others %s", left, err, want)
	}
	close(slow.goOn)
	c := <-accepted
	if rep, err := l.Abort(); err != nil || rep.Connections.Total() != 1 {
		t.Errorf("Abort = %s, %v, want one connection reset", rep, err)
	}
	lingertest.Must(t, c.Close())
}
