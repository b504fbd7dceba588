//go:build linux

package linger

import (
	"context"
	"net/http"
	"testing"

	"rstserver/internal/lingertest"
	"rstserver/linger/sockdiag"
)

// What another server of this process still has on the port, whose listener is closed by now, was there before, and is its own.
func TestPredecessorsConnectionsAreOthers(t *testing.T) {
	s := listenWith(t, families[0].address, false)
	inHandler, goOn := make(chan struct{}), make(chan struct{})
	old := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(inHandler)
		<-goOn
	})}
	served := make(chan error, 1)
	go func() { served <- old.Serve(s.TCPListener) }()
	client := s.dial(t)
	_, err := client.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	lingertest.Must(t, err)
	<-inHandler
	stopped := make(chan error, 1)
	go func() { stopped <- old.Shutdown(context.Background()) }()
	<-served
	var l *Listener
	lingertest.Wait(t, "the port can be had", func() bool {
		l, err = Listen("tcp", s.addr.String())
		return err == nil
	})
	rep, err := l.Abort()
	if err != nil || rep.Left.Others != (sockdiag.Counts{sockdiag.Established: 1}) {
		t.Errorf("Abort = %s, %v, want one connection of another's", rep, err)
	}
	close(goOn)
	lingertest.Must(t, <-stopped)
}
