//go:build linux

package freeport

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"testing"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
)

func TestMain(m *testing.M) {
	if how := os.Getenv("FREEPORT_CHILD"); how != "" {
		child(how)
	}
	lingertest.Main(m)
}

// child is a process that was handed a listening socket as descriptor 3, and perhaps a connection as 4. It says on stdout when
// it is ready, and when SIGTERM has come to it.
func child(how string) {
	terminate := make(chan os.Signal, 1)
	switch how {
	case "plain":
		// SIGTERM ends it.
	case "ignores":
		signal.Ignore(unix.SIGTERM)
	default:
		signal.Notify(terminate, unix.SIGTERM)
	}
	fmt.Println("ready")
	if how == "drains" {
		<-terminate
		_ = unix.Close(3)
		fmt.Println("let go")
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // until the test lets it end
	os.Exit(0)
}
