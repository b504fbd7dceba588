//go:build linux

package poller

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"testing"

	"rstserver/internal/lingertest"
	"rstserver/linger"
)

// successorEnv has TestSuccessorStaysArmed serve the listening socket that it has inherited as descriptor 3.
const successorEnv = "POLLER_TEST_SUCCESSOR"

// A successor that holds the listening socket too is as armed as its predecessor was, in whatever way that has let go of it: after
// kill -9 its clients are reset, and nothing is left on the port.
func TestSuccessorStaysArmed(t *testing.T) {
	plain(t, "its successor is a program without")
	if os.Getenv(successorEnv) != "" {
		serveInherited()
	}
	for name, letGo := range map[string]func(s *Server) error{
		"Close":    (*Server).Close,
		"Shutdown": func(s *Server) error { return s.Shutdown(context.Background()) },
		"Release":  (*Server).Release,
	} {
		t.Run(name, func(t *testing.T) {
			ln := listenAlone(t)
			f, err := ln.(*net.TCPListener).File()
			lingertest.Must(t, err)
			defer f.Close()
			s := startOn(t, &Server{Loops: 2, Shared: true}, ln)
			successor := exec.Command("/proc/self/exe", "-test.run=^TestSuccessorStaysArmed$")
			successor.Env = append(os.Environ(), successorEnv+"=1")
			successor.ExtraFiles = []*os.File{f}
			out, err := successor.StdoutPipe()
			lingertest.Must(t, err)
			lingertest.Must(t, successor.Start())
			killed := func() {
				successor.Process.Kill()
				successor.Wait()
			}
			t.Cleanup(killed)
			lingertest.Must(t, f.Close())
			if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "serving\n" {
				t.Fatalf("the successor said %q, %v", line, err)
			}
			lingertest.Must(t, letGo(s.Server))
			if err := s.wait(t); !errors.Is(err, ErrServerClosed) {
				t.Fatalf("Serve() = %v", err)
			}

			var clients []*client
			for range 50 {
				c := s.dial(t)
				c.get("/")
				clients = append(clients, c)
			}
			killed()
			for _, c := range clients {
				c.wantReset()
			}
			s.assertGone(t)
		})
	}
}

// serveInherited is the whole of a successor.
func serveInherited() {
	ln, err := net.FileListener(os.NewFile(3, "inherited"))
	if err != nil {
		panic(err)
	}
	panic((&Server{
		LoopHandler: LoopHandlerFunc(hello),
		Shared:      true,
		Serving:     func(netip.AddrPort) { fmt.Println("serving") },
	}).Serve(ln))
}

// Who shares an armed socket and wants ordinary connections has them, whenever it was armed.
func TestNoArmOnAnArmedSocket(t *testing.T) {
	for _, before := range []bool{false, true} {
		ln := listenAlone(t)
		f, err := ln.(*net.TCPListener).File()
		lingertest.Must(t, err)
		defer f.Close()
		arm := func() { lingertest.Must(t, linger.Arm(int(f.Fd()))) }
		if before {
			arm()
		}
		s := startOn(t, &Server{NoArm: true, LoopHandler: LoopHandlerFunc(func(w *Responder, r *Request) {
			if armed, err := linger.Armed(r.conn.sock.FD); armed || err != nil {
				t.Errorf("armed before Serve: %v; the connection is armed: %v, %v", before, armed, err)
			}
		})}, ln)
		if !before {
			arm()
		}
		s.dial(t).get("/")
		lingertest.Must(t, f.Close())
		lingertest.Must(t, s.Close())
		s.assertGone(t)
	}
}
