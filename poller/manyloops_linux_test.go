//go:build linux

package poller

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
)

// cacheLine is what two processors cannot write to at the same time, or two lines where a processor fetches pairs.
const cacheLine = 64

// What loops add to for each request and connection is on no cache line of another loop's, however many there are.
func TestLoopsShareNoLine(t *testing.T) {
	s := start(t, &Server{Loops: 32, LoopHandler: LoopHandlerFunc(hello)})
	owner := make(map[uintptr]int) // of a line
	for _, l := range s.run.loops {
		// The padding is whoever's: what is between it is the loop's alone.
		from := uintptr(unsafe.Pointer(l)) + unsafe.Offsetof(l.counts) + unsafe.Offsetof(l.counts.accepted)
		to := uintptr(unsafe.Pointer(l)) + unsafe.Offsetof(l.counts) + unsafe.Offsetof(l.counts.shookNot) + unsafe.Sizeof(l.counts.shookNot)
		for line := from / cacheLine; line <= (to-1)/cacheLine; line++ {
			if other, taken := owner[line]; taken {
				t.Errorf("loops %d and %d count on the same line", other, l.index)
			}
			owner[line] = l.index
		}
		// Nor is anything else of the loop, of which others write to some.
		before := uintptr(unsafe.Pointer(l)) + unsafe.Offsetof(l.counts) - 1
		behind := uintptr(unsafe.Pointer(l)) + unsafe.Offsetof(l.counts) + unsafe.Sizeof(l.counts)
		if before/cacheLine == from/cacheLine || behind/cacheLine == (to-1)/cacheLine {
			t.Errorf("loop %d counts on a line that it has other things on", l.index)
		}
		for _, other := range s.run.loops {
			begin, end := uintptr(unsafe.Pointer(other)), uintptr(unsafe.Pointer(other))+unsafe.Sizeof(*other)
			if other != l && begin/cacheLine <= (to-1)/cacheLine && (end-1)/cacheLine >= from/cacheLine {
				t.Errorf("loop %d counts on a line of loop %d's", l.index, other.index)
			}
		}
	}
}

// BenchmarkManyLoops counts what could grow with the loops, on however few processors: how often threads of the server wait, and are woken, for a
// connection with one request and for a request, and how often one waits for a lock that another has while 64 clients ask.
func BenchmarkManyLoops(b *testing.B) {
	for _, loops := range []int{2, 8, 32} {
		name := fmt.Sprintf("loops=%d/", loops)
		b.Run(name+"accept", func(b *testing.B) {
			s := start(b, &Server{Loops: loops, LoopHandler: LoopHandlerFunc(hello)})
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			before := switches(b)
			for b.Loop() {
				c := dialBare(b, s.addr)
				c.get(b)
				c.close()
			}
			b.ReportMetric(float64(switches(b)-before)/float64(b.N), "switches/op")
		})
		b.Run(name+"request", func(b *testing.B) {
			s := start(b, &Server{Loops: loops, LoopHandler: LoopHandlerFunc(hello)})
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			c := dialBare(b, s.addr)
			defer c.close()
			before := switches(b)
			for b.Loop() {
				c.get(b)
			}
			b.ReportMetric(float64(switches(b)-before)/float64(b.N), "switches/op")
		})
		for handler, srv := range map[string]*Server{
			"loop":   {Loops: loops, LoopHandler: LoopHandlerFunc(hello)},
			"worker": {Loops: loops, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "Hello, World!") })},
		} {
			b.Run(name+"locks/handler="+handler, func(b *testing.B) { benchmarkLocks(b, srv) })
		}
	}
}

// benchmarkLocks counts, for each request, how often it is waited for a lock while 64 clients ask.
func benchmarkLocks(b *testing.B, srv *Server) {
	s := start(b, srv)
	const clients, each = 64, 10
	defer runtime.SetMutexProfileFraction(runtime.SetMutexProfileFraction(1))
	before, n := lockWaits(), 0
	for b.Loop() {
		n += clients * each
		var asking sync.WaitGroup
		for range clients {
			c := s.dial(b)
			asking.Go(func() {
				defer c.Close()
				for range each {
					c.get("/")
				}
			})
		}
		asking.Wait()
	}
	b.ReportMetric(float64(lockWaits()-before)/float64(n), "waits/request")
}

// switches is how often threads of this process have waited, but for that of the caller.
func switches(b *testing.B) int64 {
	var all, own unix.Rusage
	lingertest.Must(b, unix.Getrusage(unix.RUSAGE_SELF, &all))
	lingertest.Must(b, unix.Getrusage(unix.RUSAGE_THREAD, &own))
	return all.Nvcsw - own.Nvcsw
}

// lockWaits is how often a goroutine of this module has waited for a lock since that is counted.
func lockWaits() (n int64) {
	records := make([]runtime.BlockProfileRecord, 10_000)
	count, _ := runtime.MutexProfile(records)
	for _, r := range records[:min(count, len(records))] {
		frames := runtime.CallersFrames(r.Stack())
		for more := true; more; {
			var f runtime.Frame
			if f, more = frames.Next(); strings.HasPrefix(f.Function, "rstserver/poller") && !strings.HasSuffix(f.File, "_test.go") {
				n += r.Count
				break
			}
		}
	}
	return n
}

// bareClient is one whose system calls are those of its thread, and wake no other of this process that is a client's.
type bareClient struct {
	fd  int
	buf []byte
}

func dialBare(b *testing.B, addr netip.AddrPort) *bareClient {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	lingertest.Must(b, err)
	lingertest.Must(b, unix.Connect(fd, &unix.SockaddrInet4{Addr: addr.Addr().As4(), Port: int(addr.Port())}))
	return &bareClient{fd, make([]byte, 4096)}
}

func (c *bareClient) get(b *testing.B) {
	_, err := unix.Write(c.fd, []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
	lingertest.Must(b, err)
	for got := 0; ; {
		n, err := unix.Read(c.fd, c.buf[got:])
		if err == unix.EINTR {
			continue
		}
		lingertest.Must(b, err)
		if got += n; n == 0 {
			lingertest.Must(b, io.ErrUnexpectedEOF)
		}
		if strings.HasSuffix(string(c.buf[:got]), "Hello, World!") {
			return
		}
	}
}

// close resets, so that nothing is left.
func (c *bareClient) close() {
	_ = unix.SetsockoptLinger(c.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	_ = unix.Close(c.fd)
}
