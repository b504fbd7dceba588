//go:build linux

package fleet

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"

	"rstserver/bench/kinds"
	"rstserver/internal/lingertest"
)

// answers serves until end is called, which closes all connections. It has no answer for /late.
func answers(t *testing.T) (addr netip.AddrPort, end func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/late" {
			<-r.Context().Done()
		}
	})}
	var serving sync.WaitGroup
	serving.Go(func() { _ = srv.Serve(ln) })
	end = func() {
		_ = srv.Close()
		serving.Wait()
	}
	t.Cleanup(end)
	return netip.MustParseAddrPort(ln.Addr().String()), end
}

// While clients wait nothing is allocated, since a process of clients collects nothing.
func TestWaitingAllocatesNothing(t *testing.T) {
	addr, end := answers(t)
	order := Order{Target: Target{Addr: addr, Paths: kinds.Paths{Get: "/", Late: "/late"}}, Mix: Mix(shares(t, "idle=50,stuck=50")), To: 100, Patience: lingertest.Patience}
	f, err := order.Open(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	wait := func() {
		if err := f.poll(0); err != nil {
			t.Fatal(err)
		}
		f.untold()
	}
	if n := testing.AllocsPerRun(100, wait); n != 0 {
		t.Errorf("%v allocations for a wait", n)
	}
	if n := f.untold(kinds.Stuck); n != 50 {
		t.Errorf("%d stuck clients are not told, want 50", n)
	}
	end()
	if e, err := f.Watch(lingertest.Patience); e.By[Untold] > 0 || err != nil {
		t.Errorf("%s, %v", e, err)
	}
	if n := testing.AllocsPerRun(100, wait); n != 0 {
		t.Errorf("%v allocations for a wait when all are told", n)
	}
}
