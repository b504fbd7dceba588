//go:build linux

package poller

import (
	"fmt"
	"net/http"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"rstserver/internal/lingertest"
	"rstserver/poller/internal/onloop"
)

// account is one that nothing else is charged to.
type account struct{ atomic.Int64 }

func (a *account) Charge(n int64) { a.Add(n) }

// What output is said to weigh that waits is what the heap grows by, whatever it is made of, and whether or not a part of it was taken.
func TestQueueWeight(t *testing.T) {
	const queues, bytes = 8, 1 << 20
	for _, tt := range []struct {
		name  string
		sizes []int // of what is sent in turn; negative: shared by all
	}{
		{"events of 20 bytes", []int{20}},
		{"events of 900 bytes", []int{900}},
		{"events of 3000 bytes", []int{3000}},
		{"events of 40,000 bytes", []int{40_000}},
		{"one of 1 MiB", []int{bytes}},
		{"small ones, and shared ones of 2000 bytes", []int{100, -2000}},
		{"shared ones", []int{-5000}},
	} {
		for _, taken := range []int{0, bytes / 2} {
			t.Run(fmt.Sprintf("%s, %d taken", tt.name, taken), func(t *testing.T) {
				before := heap(t)
				account := new(account)
				all := make([]*outQueue, queues)
				for i := range all {
					all[i] = new(outQueue)
				}
				for sent := 0; sent < bytes; {
					for _, size := range tt.sizes {
						o := onloop.Output{Head: make([]byte, max(size, -size)), Message: true}
						if size < 0 {
							o.Shared = new(onloop.Shared)
						}
						for _, q := range all {
							q.add(o, 0, account)
						}
						sent += len(o.Head)
					}
				}
				parts := 0
				for _, q := range all {
					q.take(taken)
				}
				weight := account.Load()
				for _, q := range all {
					weight += int64(q.weight())
					parts += q.part()
				}
				grown := heap(t) - before
				if weight < grown*9/10 || weight > grown*11/10 {
					t.Errorf("%d queues weigh %d bytes, and the heap has grown by %d", queues, weight, grown)
				}
				if shared := account.Load(); int64(parts) > shared || int64(parts) < shared*9/10 {
					t.Errorf("%d bytes of what is shared fall to the queues, of %d", parts, shared)
				}
				for _, q := range all {
					q.release()
				}
				if n := account.Load(); n != 0 {
					t.Errorf("%d bytes are charged of what nobody keeps", n)
				}
			})
		}
	}
}

// heap is how many bytes of it are in use, when what others have left is collected: what was pooled, and what has a cleanup, takes several rounds.
func heap(t *testing.T) (n int64) {
	t.Helper()
	var m runtime.MemStats
	lingertest.Wait(t, "the heap stays as it is", func() bool {
		before := n
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		n = int64(m.HeapAlloc)
		return before-n < 16<<10 && n-before < 16<<10
	})
	return n
}

// What connections share that wait to send it is charged once, until the last has it no more; what each has for itself is charged for each.
func TestSharedIsChargedOnce(t *testing.T) {
	began := make(chan *shouts, 10)
	s, _ := shouting(t, &Server{}, began)
	var clients []*client
	var all []*shouts
	for i := range 4 {
		c := s.dialSlow(t)
		c.upgradeBy([]string{getRoot, getWorld}[i%2])
		clients, all = append(clients, c), append(all, <-began)
	}
	before := s.buffered()
	shared := onloop.Output{Head: make([]byte, fillSize), Shared: new(onloop.Shared)}
	for _, p := range all {
		if waits, err := p.conn.Send(shared); !waits || err != nil {
			t.Fatalf("Send of %d bytes = %v, %v", fillSize, waits, err)
		}
	}
	const small = 900
	wantAround := func(want int) {
		t.Helper()
		lingertest.Wait(t, fmt.Sprintf("about %d bytes are buffered", want), func() bool {
			got := int(s.buffered() - before)
			return got >= want && got < want+want/8
		})
	}
	wantAround(fillSize)
	own := 0
	for _, p := range all {
		for range 1 << 20 / small {
			_, err := p.conn.Send(onloop.Output{Head: make([]byte, small)})
			lingertest.Must(t, err)
			own += small
		}
	}
	wantAround(fillSize + own)
	for i, c := range clients {
		_ = c.SetLinger(0)
		_ = c.TCPConn.Close()
		if left := len(clients) - i - 1; left > 0 {
			wantAround(fillSize + own*left/len(clients))
		}
	}
	lingertest.Wait(t, "nothing is buffered any more", func() bool { return s.buffered() == before })
}

// Those who keep what they share are reset when it is too much for the server, and not who has something small.
func TestSharedIsGivenUp(t *testing.T) {
	began := make(chan *shouts, 10)
	var told atomic.Int64
	s, _ := shouting(t, &Server{
		MaxBufferedBytes: fillSize / 2, StuckGrace: time.Minute,
		Overloaded: func(o Overload) {
			if told.Add(1); !o.Reset || o.Held < fillSize/16 {
				t.Errorf("Overloaded was told %+v", o)
			}
		},
	}, began)
	half := s.dial(t)
	half.send("GET / HTTP/1.1\r\n")
	var clients []*client
	var all []*shouts
	for range 4 {
		c := s.dialSlow(t)
		c.upgradeBy(getRoot)
		clients, all = append(clients, c), append(all, <-began)
	}
	shared := onloop.Output{Head: make([]byte, fillSize), Shared: new(onloop.Shared)}
	for _, p := range all {
		_, _ = p.conn.Send(shared) // an error is that it was reset
	}
	for _, c := range clients {
		lingertest.Wait(t, "it is reset", func() bool { return s.peerState(t, c) == "none" })
	}
	lingertest.Wait(t, "next to nothing is buffered", func() bool { return s.buffered() < 1<<20 })
	if n := s.Report().Memory.Reset; n != len(clients) || told.Load() != int64(n) {
		t.Errorf("%d were reset, and the hook was told of %d, want %d", n, told.Load(), len(clients))
	}
	half.send("Host: x\r\nUpgrade: shouts\r\nConnection: Upgrade\r\n\r\n")
	if res, err := http.ReadResponse(half.in, nil); err != nil || res.StatusCode != 101 {
		t.Errorf("who had sent half a request got %v, %v", res, err)
	}
}

// Streams of HTTP/2 weigh what they have to send, too.
// What waits for a stream that is aborted is charged no longer than that, whether or not it had begun.
func TestH2QueueOfAborted(t *testing.T) {
	plain(t, "the memory of TLS is net/http's")
	ended := make(chan error, 1)
	s := start(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := &shouts{ended: ended}
		if err := onloop.From(r.Context()).Take(200, nil, p); err != nil {
			t.Error(err)
		}
		if _, err := p.conn.Send(onloop.Output{Head: make([]byte, 64<<10), Shared: new(onloop.Shared), Message: true}); err != nil {
			t.Error(err)
		}
		p.conn.Abort()
	})})
	c := s.dialH2(t)
	before := s.buffered()
	c.get(1, "/")
	<-ended
	lingertest.Wait(t, "nothing is buffered any more", func() bool { return s.buffered() <= before })
	if n := s.run.unsent.Load(); n != 0 {
		t.Errorf("%d messages wait to be sent", n)
	}
}

func TestH2QueueWeight(t *testing.T) {
	plain(t, "the memory of TLS is net/http's")
	taken := make(chan *shouts, 10)
	ended := make(chan error, 10)
	s := start(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := &shouts{began: taken, ended: ended}
		if err := onloop.From(r.Context()).Take(200, nil, p); err != nil {
			t.Error(err)
		}
	})})
	c := s.dialH2(t) // reads nothing
	var all []*shouts
	for i := range 3 {
		c.get(uint32(2*i+1), "/")
		all = append(all, <-taken)
	}
	before := s.buffered()
	const small, each = 200, 1 << 20
	shared := onloop.Output{Head: make([]byte, each), Shared: new(onloop.Shared)}
	for _, p := range all {
		for range each / small {
			_, err := p.conn.Send(onloop.Output{Head: make([]byte, small)})
			lingertest.Must(t, err)
		}
		_, err := p.conn.Send(shared)
		lingertest.Must(t, err)
	}
	// The first of each is being written, and is charged until it is.
	if got, want := int(s.buffered()-before), 4*each; got < want*7/8 || got > want*5/4 {
		t.Errorf("%d bytes are buffered, want about %d", got, want)
	}
	_ = c.Close()
	for range all {
		<-ended
	}
	lingertest.Wait(t, "nothing is buffered any more", func() bool { return s.buffered() <= before })
}
