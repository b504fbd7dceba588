package main

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"rstserver/poller/sse"
)

// ticks are the event streams of /events. Those of one interval get the same events at the same time.
type ticks struct {
	mu sync.Mutex       // guards what follows
	of map[int]*ticking // by milliseconds
}

// ticking are the streams of one interval, and the goroutine that sends to them for as long as there are any.
type ticking struct {
	ms    int
	group sse.Group
	n     int // streams; guarded by ticks.mu
	stop  chan struct{}

	mu   sync.Mutex // guards what follows, and that a stream joins between two events
	last int64      // the ID of the last event
}

// keptTicks is how many events can have been missed by one who comes back.
const keptTicks = 100

// serve answers GET /events: there is an event at once, and whenever the clock has come to a multiple of the query's ms. Its ID is which one.
func (t *ticks) serve(w http.ResponseWriter, r *http.Request) {
	n := numbers(w, r, "/events?ms=1000", parameter{"ms", 1, maxPause})
	if n == nil {
		return
	}
	s, err := sse.Accept(w, r, &sse.Options{OnLoop: true, OnClose: t.leave})
	if err != nil {
		return // it is the client's, and answered
	}
	t.join(s, n[0], r.Header.Get("Last-Event-ID"))
}

// gone is the value of a stream that has ended before it could join.
type gone struct{}

func (t *ticks) join(s *sse.Stream, ms int, lastEventID string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.Value() == (gone{}) {
		return
	}
	k := t.of[ms]
	if k == nil {
		k = &ticking{ms: ms, group: sse.Group{KeepEvents: keptTicks}, stop: make(chan struct{}), last: time.Now().UnixMilli() / int64(ms)}
		if t.of == nil {
			t.of = make(map[int]*ticking)
		}
		t.of[ms] = k
		go k.run()
	}
	k.n++
	s.SetValue(k)
	k.mu.Lock()
	defer k.mu.Unlock()
	if lastEventID == "" {
		_ = s.Send(context.Background(), k.event()) // an error is the stream's end
	}
	k.group.Join(s, lastEventID)
}

func (t *ticks) leave(s *sse.Stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k, ok := s.Value().(*ticking)
	if !ok {
		s.SetValue(gone{})
		return
	}
	if k.n--; k.n == 0 {
		close(k.stop)
		delete(t.of, k.ms)
	}
}

func (k *ticking) run() {
	dontWait, cancel := context.WithCancel(context.Background())
	cancel()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(time.Until(k.at(k.last + 1)))
		select {
		case <-k.stop:
			return
		case now := <-timer.C:
			k.mu.Lock()
			k.last = max(k.last+1, now.UnixMilli()/int64(k.ms))
			_, _ = k.group.Broadcast(dontWait, k.event())
			k.mu.Unlock()
		}
	}
}

// at is when the event with that ID is due.
func (k *ticking) at(id int64) time.Time { return time.UnixMilli(id * int64(k.ms)) }

// event is the last one.
func (k *ticking) event() sse.Event {
	return sse.Event{ID: strconv.FormatInt(k.last, 10), Data: k.at(k.last).UTC().Format("2006-01-02T15:04:05.000Z")}
}

const (
	eventRoomPath = "/events/room"
	// keptEvents bounds what can have been missed by one who comes back to it, in bytes.
	keptEvents = 1 << 20
)

// eventRoom sends the content of each POST to all who are in it.
type eventRoom struct {
	once  sync.Once
	group *sse.Group
}

// serve answers GET and POST of eventRoomPath.
func (e *eventRoom) serve(w http.ResponseWriter, r *http.Request) {
	e.once.Do(func() {
		e.group = &sse.Group{KeepBytes: keptEvents, TooOld: sse.Event{Event: "missed", Data: "what came after that is not kept any more, all of it"}}
	})
	if r.Method != http.MethodPost {
		_, _ = e.group.Accept(w, r, nil) // an error is the client's, and answered
		return
	}
	if err := new(http.CrossOriginProtection).Check(r); err != nil {
		refuse(w, http.StatusForbidden, err.Error())
		return
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxMessage))
	if err != nil {
		refuse(w, http.StatusRequestEntityTooLarge, err.Error())
		return
	}
	if _, err := e.group.Broadcast(r.Context(), sse.Event{Event: "message", Data: string(data)}); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
