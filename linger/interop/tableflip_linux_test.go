//go:build linux

package interop

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cloudflare/tableflip"

	"rstserver/internal/lingertest"
	"rstserver/linger"
	"rstserver/linger/sockdiag"
)

// tableflipEnv has TestTableflip serve, and holds the way in which a process lets go once it has a successor.
const tableflipEnv = "INTEROP_TEST_TABLEFLIP"

// ways are those of letting go.
var ways = map[string]func(l *linger.Listener, server *http.Server) error{
	"Close":   func(l *linger.Listener, _ *http.Server) error { return l.Close() },
	"Release": func(l *linger.Listener, _ *http.Server) error { return l.Release() },
	"Drain": func(l *linger.Listener, server *http.Server) error {
		_, err := l.Drain(context.Background(), server.Shutdown)
		return err
	},
	"Abort": func(l *linger.Listener, _ *http.Server) error { _, err := l.Abort(); return err },
}

// A successor that has the listening socket from its predecessor by tableflip is as armed as that was, in whatever way the
// predecessor has let go of it: after kill -9 its clients read ECONNRESET, and nothing is left on the port.
func TestTableflip(t *testing.T) {
	if way := os.Getenv(tableflipEnv); way != "" {
		serveWithTableflip(way)
	}
	for way := range ways {
		t.Run(way, func(t *testing.T) {
			out, in, err := os.Pipe()
			lingertest.Must(t, err)
			defer out.Close()
			first := exec.Command("/proc/self/exe", "-test.run=^TestTableflip$")
			first.Args[0] = os.Args[0] // which tableflip starts the successor by
			first.Env = append(os.Environ(), tableflipEnv+"="+way)
			first.Stdout, first.Stderr = in, in
			err = first.Start()
			in.Close()
			lingertest.Must(t, err)
			t.Cleanup(func() {
				first.Process.Kill()
				first.Wait()
			})
			lines := bufio.NewScanner(out)
			next := func(word string) (rest string) {
				t.Helper()
				if !lines.Scan() {
					t.Fatalf("the processes said nothing more, want %q", word)
				}
				rest, ok := strings.CutPrefix(lines.Text(), word+" ")
				if !ok {
					said := lines.Text()
					for lines.Scan() { // why, and who panics ends
						said += "\n" + lines.Text()
					}
					t.Fatalf("a process said %q, want %q", said, word)
				}
				return rest
			}
			var addr netip.AddrPort
			var pid int
			serving := func() {
				t.Helper()
				var address string
				_, err := fmt.Sscan(next("serving"), &address, &pid)
				lingertest.Must(t, err)
				addr, err = netip.ParseAddrPort(address)
				lingertest.Must(t, err)
			}
			serving()
			lingertest.Must(t, first.Process.Signal(syscall.SIGHUP))
			serving()
			t.Cleanup(func() { syscall.Kill(pid, syscall.SIGKILL) }) // no child of this process: the number is its until it has ended
			if got := next("gone"); got != "<nil>" {
				t.Errorf("the predecessor let go with the error %s", got)
			}
			lingertest.Must(t, first.Wait())

			var clients []net.Conn
			for range 50 {
				c := lingertest.Dial(t, net.Dialer{}, addr)
				_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
				lingertest.Must(t, err)
				answer, err := http.ReadResponse(bufio.NewReader(c), nil)
				lingertest.Must(t, err)
				lingertest.Must(t, answer.Body.Close())
				clients = append(clients, c)
			}
			lingertest.Must(t, syscall.Kill(pid, syscall.SIGKILL))
			for lines.Scan() { // until the successor has ended too
				t.Errorf("a process said %q", lines.Text())
			}
			for _, c := range clients {
				if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("a client read %v, want ECONNRESET", err)
				}
			}
			lingertest.Wait(t, "the kernel has closed what the process had", func() bool {
				c, _, err := sockdiag.Count(addr.Port())
				lingertest.Must(t, err)
				return c[sockdiag.Listen]+c[sockdiag.Established] == 0
			})
			lingertest.Must(t, linger.CheckFree(addr))
		})
	}
}

// serveWithTableflip is the whole of a program that is upgraded by SIGHUP.
func serveWithTableflip(way string) {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	upg, err := tableflip.New(tableflip.Options{UpgradeTimeout: lingertest.Patience})
	must(err)
	ln, err := upg.Listen("tcp", "127.0.0.1:0")
	must(err)
	l, err := linger.ListenConfig{Armed: true, Shared: true}.Wrap(ln)
	must(err)
	server := &http.Server{Handler: http.NotFoundHandler()}
	go server.Serve(l)
	fmt.Println("serving", l.Addr(), os.Getpid())
	must(upg.Ready()) // from here on the predecessor lets go
	select {
	case <-hup:
		must(upg.Upgrade())
	case <-time.After(2 * lingertest.Patience):
	}
	<-upg.Exit()
	fmt.Println("gone", ways[way](l, server))
	os.Exit(0)
}
