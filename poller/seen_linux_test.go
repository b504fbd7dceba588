//go:build linux

package poller

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/httpcodec"
	"rstserver/internal/lingertest"
	"rstserver/linger"
)

// selects parses a query for a Selector.
func selects(t *testing.T, query string) *Selector {
	t.Helper()
	q, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	sel, err := ParseSelector(q)
	if err != nil {
		t.Fatal(err)
	}
	return &sel
}

// conns are those that query picks.
func (s *served) conns(t *testing.T, query string) []ConnInfo {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), lingertest.Patience)
	defer cancel()
	all, err := s.Conns(ctx, selects(t, query))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// mixed starts a server with one handler of each kind.
func mixed(t *testing.T) (s *served, goOn chan struct{}) {
	goOn = make(chan struct{})
	s = start(t, &Server{
		Loops:       2,
		OnLoop:      func(r *httpcodec.Request) bool { return string(r.Path) == "/loop" },
		LoopHandler: LoopHandlerFunc(hello),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/wait":
				<-goOn
			case "/hijack":
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
				_, _ = io.Copy(conn, conn)
			}
		}),
	})
	return s, goOn
}

func TestConns(t *testing.T) {
	s, goOn := mixed(t)
	idle, waits, hijacked, fresh := s.dial(t), s.dial(t), s.dial(t), s.dial(t)
	idle.get("/loop")
	idle.get("/loop")
	waits.send("GET /wait?q HTTP/1.1\r\nHost: x\r\n\r\n")
	hijacked.send("GET /hijack HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: Echo\r\n\r\n")
	hijacked.answer("GET")
	h2 := s.h2Client(t)
	s.do(t, h2, "GET", "/loop", nil)
	lingertest.Wait(t, "all are where they belong", func() bool {
		return len(s.conns(t, "activity=handling")) == 1 && len(s.conns(t, "activity=new,handshake")) == 1 && len(s.conns(t, "")) == 5
	})
	for _, want := range []struct {
		query    string
		client   *client
		activity linger.Activity
		protocol string
		path     string
		requests int64
	}{
		{"activity=idle", idle, linger.Idle, "HTTP/1.1", "", 2},
		{"path=/wait", waits, linger.Handling, "HTTP/1.1", "/wait", 1},
		{"path=/*&protocol=Echo", hijacked, linger.Hijacked, "echo", "/hijack", 1},
		{"activity=new,handshake", fresh, 0, "HTTP/1.1", "", 0},
		{"protocol=http/2", nil, linger.HTTP2, "HTTP/2", "/loop", 1},
	} {
		got := s.conns(t, want.query)
		if len(got) != 1 {
			t.Errorf("%s picks %d connections, want 1", want.query, len(got))
			continue
		}
		g := got[0]
		if want.client != nil && g.Conn.Remote.String() != want.client.LocalAddr().String() {
			t.Errorf("%s picks %s, want %s", want.query, g.Conn.Remote, want.client.LocalAddr())
		}
		if want.client != fresh && g.Activity != want.activity || g.Protocol != want.protocol || g.Path != want.path || g.Requests != want.requests {
			t.Errorf("%s is %s %s %q with %d requests, want %+v", want.query, g.Activity, g.Protocol, g.Path, g.Requests, want)
		}
		if g.Local != s.addr || g.Age() < 0 || g.Idle() > g.Age()+lingertest.Patience {
			t.Errorf("%s: local %s, age %s, idle %s", want.query, g.Local, g.Age(), g.Idle())
		}
	}
	for _, none := range []string{"age=1h", "idle=1h", "queued=1000000", "peer=10.0.0.0/8", "id=99", "state=close-wait", "path=/x*"} {
		if got := s.conns(t, none); len(got) != 0 {
			t.Errorf("%s picks %d connections, want none", none, len(got))
		}
	}
	st := s.Stats()
	if st.Accepted != 5 || st.Held-(st.Accepted-st.Ended.Total()) != 0 || st.Ended.Total() != 0 {
		t.Errorf("accepted %d, held %d, ended %v", st.Accepted, st.Held, st.Ended)
	}
	var sum linger.Tally
	for _, l := range append(st.Loops, st.Others) {
		sum.Add(l)
	}
	if sum.Total() != 5 || sum[linger.Hijacked] != 1 || sum[linger.HTTP2] != 1 {
		t.Errorf("connections of the loops: %v", sum)
	}
	close(goOn)
	waits.answer("GET")
	lingertest.Wait(t, "all answers are counted", func() bool { st = s.Stats(); return st.Requests == [6]int64{2: 4} })
	n := int64(0)
	for _, c := range st.Durations.Counts {
		n += c
	}
	if n != 4 || st.Durations.Sum <= 0 {
		t.Errorf("%d durations, of %s in sum", n, st.Durations.Sum)
	}
	if !st.Listener.Known || st.Listener.Backlog == 0 || st.Descriptors.Open == 0 || st.Descriptors.Limit <= st.Descriptors.ForConns {
		t.Errorf("listener %+v, descriptors %+v", st.Listener, st.Descriptors)
	}
}

func TestAbortConns(t *testing.T) {
	s, _ := mixed(t)
	idle, other, hijacked := s.dial(t), s.dial(t), s.dial(t)
	idle.get("/loop")
	other.get("/loop")
	hijacked.send("GET /hijack HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: Echo\r\n\r\n")
	hijacked.answer("GET")
	id := uint64(0)
	for _, c := range s.conns(t, "activity=idle") {
		if c.Conn.Remote.String() == idle.LocalAddr().String() {
			id = c.ID
		}
	}
	for _, sel := range []*Selector{{IDs: []uint64{id}}, selects(t, "protocol=echo")} {
		if got, err := s.AbortConns(t.Context(), sel); err != nil || len(got) != 1 {
			t.Errorf("AbortConns(%+v) = %d connections, %v, want 1", sel, len(got), err)
		}
	}
	idle.wantReset()
	hijacked.wantReset()
	other.get("/loop")
	lingertest.Wait(t, "they are counted", func() bool { st := s.Stats(); return st.Ended == Ends{EndAborted: 2} && st.Held == 1 })
}

func TestCloseConns(t *testing.T) {
	s, goOn := mixed(t)
	idle, waits, hijacked, other := s.dial(t), s.dial(t), s.dial(t), s.dial(t)
	idle.get("/loop")
	other.get("/loop")
	waits.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
	hijacked.send("GET /hijack HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: Echo\r\n\r\n")
	hijacked.answer("GET")
	lingertest.Wait(t, "the handler has it", func() bool { return len(s.conns(t, "activity=handling")) == 1 })
	picked := 0
	for _, c := range s.conns(t, "") {
		if c.Conn.Remote.String() == other.LocalAddr().String() {
			continue
		}
		got, err := s.CloseConns(t.Context(), &Selector{IDs: []uint64{c.ID}})
		if err != nil {
			t.Error(err)
		}
		picked += len(got)
	}
	if picked != 3 {
		t.Errorf("CloseConns picked %d, want 3", picked)
	}
	idle.wantEOF()
	hijacked.wantEOF()
	close(goOn)
	if res, _ := waits.answer("GET"); !res.Close {
		t.Error("the answer of the one that was in flight does not say that it is the last")
	}
	waits.wantEOF()
	_ = waits.Close()
	other.get("/loop")
	lingertest.Wait(t, "they are counted", func() bool { st := s.Stats(); return st.Ended == Ends{EndClosed: 3} && st.Held == 1 })
}

// An idle connection of HTTP/2 that is to be closed gets GOAWAY, and another one of the same server does not.
func TestCloseConnsH2(t *testing.T) {
	s := start(t, &Server{})
	one, other := s.dialH2(t), s.dialH2(t)
	one.get(1, "/")
	one.answer(1)
	other.get(1, "/")
	other.answer(1)
	first := s.conns(t, "protocol=HTTP/2")[0]
	if got, err := s.CloseConns(t.Context(), &Selector{IDs: []uint64{first.ID}}); err != nil || len(got) != 1 {
		t.Fatalf("CloseConns = %d connections, %v", len(got), err)
	}
	one.wantGoAway()
	other.get(3, "/")
	if status, _, goAway := other.answer(3); status != 200 || goAway {
		t.Errorf("the other connection: status %d, GOAWAY: %t", status, goAway)
	}
}

func TestEndsInDrain(t *testing.T) {
	s, goOn := mixed(t)
	idle, waits, h2 := s.dial(t), s.dial(t), s.dialH2(t)
	idle.get("/loop")
	h2.get(1, "/loop")
	h2.answer(1)
	waits.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
	lingertest.Wait(t, "the handler has it", func() bool { return len(s.conns(t, "activity=handling")) == 1 })
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(context.Background()) }()
	idle.wantReset()
	h2.wantReset()
	lingertest.Wait(t, "they are counted", func() bool { return s.Stats().Ended.Total() == 2 })
	if ended := s.Stats().Ended; ended != (Ends{EndDrained: 2}) {
		t.Errorf("idle connections ended as %v, want drained", ended)
	}
	close(goOn)
	waits.answer("GET")
	_ = waits.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	st := s.Stats()
	if st.Accepted != 3 || st.Ended.Total() != 3 || st.Held != 0 || st.Steps.Done == 0 || st.Mode != linger.ModeDrain {
		t.Errorf("after the drain: %+v", st)
	}
}

// In the delay of a drain connections are accepted, and Stats says so.
func TestAcceptingInDelay(t *testing.T) {
	s := start(t, &Server{Delay: time.Hour})
	ctx, cancel := context.WithCancel(context.Background())
	done := s.shutdown(t, ctx)
	lingertest.Wait(t, "the drain begins", func() bool { st := s.Stats(); return st.Mode == linger.ModeDrain })
	s.dial(t).get("/")
	if st := s.Stats(); !st.Accepting() || st.State() != "drain" {
		t.Errorf("in the delay Accepting() = %t and State() = %s", st.Accepting(), st.State())
	}
	cancel()
	_ = wait(t, "Shutdown", done)
	if st := s.Stats(); st.Accepting() {
		t.Error("behind the drain connections are said to be accepted")
	}
}

// A protocol that does not end when it was told to is reset: on demand, and not since a time of the Server was not kept.
func TestCloseConnsOfStubborn(t *testing.T) {
	s, ended := shouting(t, &Server{}, nil)
	c := s.dial(t)
	c.upgradeBy(getRoot)
	l := s.run.loops[0]
	onLoop(l, func() { l.durations[lingerTimeout] = time.Millisecond })
	if got, err := s.CloseConns(t.Context(), &Selector{}); err != nil || len(got) != 1 {
		t.Fatalf("CloseConns = %d connections, %v", len(got), err)
	}
	c.wantLine("bye")
	c.wantReset()
	<-ended
	lingertest.Wait(t, "it is counted", func() bool { return s.Stats().Ended.Total() == 1 })
	if ends := s.Stats().Ended; ends != (Ends{EndAborted: 1}) {
		t.Errorf("it is counted as %v, want aborted", ends)
	}
}

func TestParseSelectorRefuses(t *testing.T) {
	for _, query := range []string{
		"peer=", "peer=x", "local=1.2.3", "state=open", "idle=5", "idle=-1s", "age=x", "queued=-1", "activity=lazy", "path=ws", "path=/[", "id=x",
	} {
		q, _ := url.ParseQuery(query)
		if sel, err := ParseSelector(q); err == nil {
			t.Errorf("ParseSelector(%s) = %+v, want an error", query, sel)
		}
	}
}

// Before Linux 6.2 descriptors are counted, and that there is none to count them with is known, too.
func TestCountFiles(t *testing.T) {
	limit, err := fileLimit()
	lingertest.Must(t, err)
	if n := sizeOfFiles(); n > 0 && countFiles(limit) != n {
		t.Errorf("%d descriptors are counted of %d", countFiles(limit), n)
	}
	n := 0
	withFileLimit(t, 3, func() { n = countFiles(3) })
	if n != 3 {
		t.Errorf("%d of 3 descriptors are said to be open when there is none left", n)
	}
}

// A descriptor that somebody has kept for the time when there is none left, and has given away, has a low number, and is no room for clients.
func TestNoRoomInWhatIsKept(t *testing.T) {
	if sizeOfFiles() == 0 {
		t.Skip("needs Linux 6.2, which says how many descriptors are open")
	}
	s := start(t, &Server{})
	var files []*os.File
	for range 50 {
		f, err := os.Open(os.DevNull)
		lingertest.Must(t, err)
		defer f.Close()
		files = append(files, f)
	}
	room := true
	withFileLimit(t, uint64(sizeOfFiles()), func() {
		_ = files[0].Close()
		room = s.run.admission.hasRoom()
	})
	if room {
		t.Error("the one that is left is for clients")
	}
	if !s.run.admission.hasRoom() {
		t.Error("there is no room behind that")
	}
}

// withFileLimit runs f with a limit of open files.
func withFileLimit(t *testing.T, n uint64, f func()) {
	t.Helper()
	var before unix.Rlimit
	lingertest.Must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &before))
	lingertest.Must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: before.Max}))
	f()
	lingertest.Must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &before))
}
