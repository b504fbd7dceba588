//go:build !linux

package poller

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
)

// A Server says that it does not serve here, closes what it was given, and has nothing to end.
func TestOtherServe(t *testing.T) {
	ln, err := Listen(context.Background(), "127.0.0.1:0", true)
	if err != nil {
		t.Fatal(err)
	}
	srv := &Server{}
	if err := srv.Serve(ln); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Serve = %v, want an error that wraps ErrUnsupported", err)
	}
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept = %v, want net.ErrClosed", err)
	}
	if err := ListenAndServe("127.0.0.1:0", nil); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("ListenAndServe = %v", err)
	}
	if err := (&Server{Loops: -1}).ListenAndServe(); err == nil || !strings.Contains(err.Error(), "Server.Loops") {
		t.Errorf("ListenAndServe with a bad option = %v", err)
	}
	if err := errors.Join(srv.Close(), srv.Release(), srv.Shutdown(context.Background())); err != nil {
		t.Errorf("the end of a server that has not begun = %v", err)
	}
	if rep := srv.Report(); rep.Complete() || srv.ListenerAddr().IsValid() {
		t.Errorf("the report is %s", rep)
	}
}
