//go:build linux

package restartload

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"slices"
	"testing"

	"rstserver/internal/lingertest"
)

// stream is the head of an answer that is an event stream, and event is one in a chunk.
const stream = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\nProcess: one\r\n\r\n"

func event(id int, data string) string {
	text := fmt.Sprintf(": a comment\nid: %d\ndata: %s\n\n", id, data)
	return fmt.Sprintf("%x\r\n%s\r\n", len(text), text)
}

// A stream ends in order, or is cut; its client comes back with the last ID, and knows what it has missed.
func TestEventStream(t *testing.T) {
	ids := make(chan string, 100) // of each request
	third := make(chan struct{})
	addr := serve(t, func(c *net.TCPConn, r *http.Request, n int) {
		ids <- r.Header.Get("Last-Event-ID")
		_, _ = io.WriteString(c, stream)
		switch n {
		case 1: // whole
			_, _ = io.WriteString(c, event(7, "a")+event(8, "b")+"0\r\n\r\n")
		case 2: // closed within
			_, _ = io.WriteString(c, event(8, "b")+event(11, "c"))
		case 3: // and reset
			_, _ = io.WriteString(c, event(12, "d"))
			<-third
			_ = c.SetLinger(0)
		default:
			_, _ = io.WriteString(c, event(1, "of a server that does not go on counting"))
			_, _ = c.Read(make([]byte, 1))
		}
	})
	l := Start(Config{Addr: addr, SSE: 1, EventsPath: "/events", ProcessField: "Process"})
	lingertest.Wait(t, "the third stream has begun", func() bool { return l.Requests() == 3 })
	close(third)
	lingertest.Wait(t, "the fourth stream has begun", func() bool { return l.Requests() == 4 })
	r := l.Stop()
	if len(r.Lost) > 0 || len(r.Answers) != 4 || r.Answers[0].Kind != SSE || r.Answers[0].Process != "one" {
		t.Errorf("%s, %+v", r, r.Answers)
	}
	var hows []string
	for _, c := range r.Cuts {
		hows = append(hows, c.How)
	}
	if want := []string{ended, closed, reset}; !slices.Equal(hows, want) {
		t.Errorf("streams have ended with %q, want %q", hows, want)
	}
	// The reset may have come before the event in front of it was read, and Stop before the last one.
	for i, want := range []string{"", "8", "11"} {
		if got := <-ids; got != want {
			t.Errorf("stream %d was asked for with the last ID %q, want %q", i+1, got, want)
		}
	}
	for i, want := range []Event{{}, {}, {Repeated: true}, {Missed: 2}} {
		got := r.Events[i]
		got.At = 0
		if got != want {
			t.Errorf("event %d tells %+v, want %+v", i+1, got, want)
		}
	}
}

// What is no event stream is a request that was lost.
func TestNoEventStream(t *testing.T) {
	for want, answer := range map[Loss]string{
		Status5xx: "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
		Other:     "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n",
		CutAnswer: stream[:20],
		CleanEnd:  "",
	} {
		addr := serve(t, func(c *net.TCPConn, _ *http.Request, _ int) { _, _ = io.WriteString(c, answer) })
		l := Start(Config{Addr: addr, SSE: 1})
		lingertest.Wait(t, "a request is over", func() bool { return l.Requests() > 0 })
		if r := l.Stop(); len(r.Answers) > 0 || r.Lost[0].Loss != want {
			t.Errorf("%s: %s", want, r)
		}
	}
}

// What events tell about those that came on another stream.
func TestHeard(t *testing.T) {
	type one struct {
		id, data string
		comeBack bool
		want     Event
	}
	for name, events := range map[string][]one{
		"nothing missed":    {{"1", "a", false, Event{}}, {"2", "b", false, Event{}}, {"3", "c", true, Event{}}, {"9", "d", false, Event{}}},
		"missed":            {{"5", "a", false, Event{}}, {"8", "b", true, Event{Missed: 2}}},
		"repeated":          {{"1", "a", false, Event{}}, {"2", "b", false, Event{}}, {"1", "a", true, Event{Repeated: true}}, {"2", "b", false, Event{Repeated: true}}, {"4", "d", false, Event{Missed: 1}}},
		"counted again":     {{"5", "a", false, Event{}}, {"1", "b", true, Event{Unknown: true}}, {"2", "c", false, Event{}}, {"3", "d", true, Event{}}},
		"with gaps":         {{"5", "a", false, Event{}}, {"9", "b", false, Event{}}, {"12", "c", true, Event{Unknown: true}}},
		"without IDs":       {{"", "a", false, Event{}}, {"", "a", true, Event{Unknown: true}}, {"", "b", false, Event{}}},
		"IDs of no numbers": {{"x", "a", false, Event{}}, {"y", "b", true, Event{Unknown: true}}, {"y", "b", true, Event{Repeated: true}}},
	} {
		var h heard
		h.begin()
		for i, e := range events {
			if e.comeBack {
				h.begin()
			}
			if got := h.hear(e.id, e.data); got != e.want {
				t.Errorf("%s: event %d tells %+v, want %+v", name, i+1, got, e.want)
			}
		}
	}
	var h heard
	for i := range 3 * keptEvents {
		h.hear(fmt.Sprint(i), "a")
	}
	if !reflect.DeepEqual(h.recent[0], identified{fmt.Sprint(2 * keptEvents), "a"}) || len(h.recent) != keptEvents {
		t.Errorf("%d events are kept, from %v on", len(h.recent), h.recent[0])
	}
}
