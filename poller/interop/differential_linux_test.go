//go:build linux

package interop

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"rstserver/internal/lingertest"
	"rstserver/poller"
)

// behaviour is a request and a handler, which are tried on net/http and on poller. What the handler sees and what the client
// gets must be the same, save for the differences.
type behaviour struct {
	name string
	// request is sent at once, and behind it sentinel, which tells what becomes of the connection.
	request string
	// then is sent when the client has got waitFor, and sentinel behind it.
	waitFor, then string
	// method is that of the request if it is not GET, and decides where answers end.
	method string
	// handler answers; what it notes must be the same. Nil answers "ok".
	handler func(w http.ResponseWriter, r *http.Request, tr *transcript)
	// head: the fields of the request are compared, too.
	head bool
	// strict: it is tried on a poller.Server with StrictTargets.
	strict bool
	// differences are what is not the same, on purpose.
	differences []difference
	// refused says that poller answers in the handler's place.
	refused *refusal
}

// refusal is poller's answer to a request that its handler does not get to see, or sees in part.
type refusal struct {
	why    string // poller refuses it although net/http does not; empty: net/http does, in its own words
	status string
	reason string // the content, after the status code
	// before is what the handler noted.
	before string
}

func (r *refusal) String() string {
	content := fmt.Sprintf("%s %s\n", r.status[:3], r.reason)
	return fmt.Sprintf("%sanswer: HTTP/1.1 %s\nfield: Connection: close\nfield: Content-Length: %d\n"+
		"field: Content-Type: text/plain; charset=utf-8\nfield: Date: NOW\ncontent: %q\nend: FIN\n",
		r.before, r.status, len(content), content)
}

// difference turns what net/http gives into what poller gives.
type difference struct {
	why             string
	nethttp, poller string
}

// sentinel is answered by the tests themselves, and its answer shows that the connection was still in use.
const sentinel = "GET /sentinel HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

// stage is the handler of a server that the behaviours are tried on, one at a time.
type stage struct {
	addr netip.AddrPort

	mu      sync.Mutex
	current *behaviour
	tr      *transcript
	running int
}

func (s *stage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.RequestURI == "/sentinel" {
		_, _ = io.WriteString(w, "sentinel")
		return
	}
	s.mu.Lock()
	b, tr := s.current, s.tr
	s.running++
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.running--
	}()
	if b.head {
		tr.request(r)
	}
	if b.handler == nil {
		_, _ = io.WriteString(w, "ok")
		return
	}
	b.handler(w, r, tr)
}

// play tries b and returns what happened.
func (s *stage) play(t *testing.T, b *behaviour) string {
	tr := new(transcript)
	s.mu.Lock()
	s.current, s.tr = b, tr
	s.mu.Unlock()
	c := dial(t, s.addr)
	var before []byte
	if b.waitFor == "" {
		c.send(b.request + b.then + sentinel)
	} else {
		c.send(b.request)
		before = c.readTo(b.waitFor)
		c.send(b.then + sentinel)
	}
	after, err := io.ReadAll(c.in)
	lingertest.Wait(t, "the handler returns", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.running == 0
	})
	tr.answers(append(before, after...), err, []string{b.method, "GET"})
	return tr.String()
}

func TestSameAsNetHTTP(t *testing.T) {
	behaviours := slices.Concat(headBehaviours, framingBehaviours, writerBehaviours, contentBehaviours, requestBehaviours, docBehaviours)
	var nethttp, pollers, strict stage
	nethttp.addr = serveNetHTTP(t, &nethttp).addr
	s := serve(t, &pollers)
	pollers.addr = s.addr
	strict.addr = start(t, &poller.Server{Handler: &strict, StrictTargets: true}).addr
	for _, b := range behaviours {
		t.Run(b.name, func(t *testing.T) {
			ours := &pollers
			if b.strict {
				ours = &strict
			}
			want, got := nethttp.play(t, &b), ours.play(t, &b)
			if b.refused != nil {
				if refuses := strings.HasPrefix(want, "answer: HTTP/1.1 "+b.refused.status[:3]); refuses != (b.refused.why == "") {
					t.Errorf("net/http answers:\n%sThis was said of it: %q", want, b.refused.why)
				}
				want = b.refused.String()
			}
			for _, d := range b.differences {
				if !strings.Contains(want, d.nethttp) {
					t.Errorf("net/http does not give %q any more; the reason for the difference was: %s", d.nethttp, d.why)
				}
				want = strings.Replace(want, d.nethttp, d.poller, 1)
			}
			if got != want {
				t.Errorf("%s", diff(want, got))
			}
		})
	}
}

// diff shows the lines in which two transcripts differ.
func diff(want, got string) string {
	wants, gots := strings.Split(want, "\n"), strings.Split(got, "\n")
	same := 0
	for same < min(len(wants), len(gots)) && wants[same] == gots[same] {
		same++
	}
	sameEnd := 0
	for sameEnd < min(len(wants), len(gots))-same && wants[len(wants)-1-sameEnd] == gots[len(gots)-1-sameEnd] {
		sameEnd++
	}
	var b strings.Builder
	b.WriteString("net/http (with the differences that are intended):\n")
	for _, l := range wants[same : len(wants)-sameEnd] {
		b.WriteString("- " + l + "\n")
	}
	b.WriteString("poller:\n")
	for _, l := range gots[same : len(gots)-sameEnd] {
		b.WriteString("+ " + l + "\n")
	}
	return b.String()
}

// errFromReader is what brokenReader fails with.
var errFromReader = errors.New("the reader's error")

// brokenReader reads n bytes and then fails.
type brokenReader struct{ n int }

func (r *brokenReader) Read(p []byte) (int, error) {
	if r.n == 0 {
		return 0, errFromReader
	}
	n := min(r.n, len(p))
	clear(p[:n])
	r.n -= n
	return n, nil
}
