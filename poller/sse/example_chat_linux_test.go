//go:build linux

package sse_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"rstserver/poller"
	"rstserver/poller/sse"
	"rstserver/poller/websocket"
)

// kept is how many messages a room keeps for those who come, or come back.
const kept = 1000

// chat has rooms, which are entered by WebSocket or by event stream. It outlives the servers that it is on, and so does what was said.
type chat struct {
	*http.ServeMux
	rooms map[string]*room
}

// room holds those who are in it, and what was said. Both kinds get the same messages in the same order.
type room struct {
	streams sse.Group
	sockets websocket.Group
	options websocket.Options

	mu    sync.Mutex // guards what follows, and that who comes is told of what comes next, and of nothing twice
	said  []message  // the last ones
	heard map[string]bool
	next  int
}

// message is one that was said. Its Key is its author's, who says it again until it comes back, and is heard once.
type message struct {
	ID   int    `json:"id"`
	Key  string `json:"key"`
	Text string `json:"text"`
}

func newChat(names ...string) *chat {
	c := &chat{http.NewServeMux(), make(map[string]*room)}
	for _, name := range names {
		c.rooms[name] = newRoom()
	}
	in := func(f func(*room, http.ResponseWriter, *http.Request)) http.HandlerFunc {
		return func(w http.ResponseWriter, req *http.Request) {
			if r := c.rooms[req.PathValue("room")]; r != nil {
				f(r, w, req)
			} else {
				http.NotFound(w, req)
			}
		}
	}
	c.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, chatPage) })
	c.HandleFunc("GET /rooms/{room}/events", in((*room).stream))
	c.HandleFunc("GET /rooms/{room}/websocket", in((*room).socket))
	c.HandleFunc("POST /rooms/{room}", in((*room).post))
	return c
}

func newRoom() *room {
	r := &room{heard: make(map[string]bool), next: 1}
	r.streams = sse.Group{KeepEvents: kept, TooOld: sse.Event{Event: "missed", Data: "more than is kept"}}
	r.options = websocket.Options{
		DrainStatus: websocket.ServiceRestart,
		AtBound:     websocket.End, // who is too slow comes back for the rest
		OnMessage: func(_ *websocket.Conn, _ websocket.Type, data []byte) {
			if m := (message{}); json.Unmarshal(data, &m) == nil {
				r.say(m)
			}
		},
	}
	r.streams.Broadcast(context.Background(), sse.Event{ID: "0"}) // before all that is said
	return r
}

// say sends m to all, unless they have had it.
func (r *room) say(m message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.heard[m.Key] {
		return
	}
	m.ID = r.next
	r.next++
	r.heard[m.Key] = true
	if r.said = append(r.said, m); len(r.said) > kept {
		delete(r.heard, r.said[0].Key)
		r.said = r.said[1:]
	}
	data, _ := json.Marshal(m)
	r.streams.Broadcast(context.Background(), sse.Event{ID: strconv.Itoa(m.ID), Data: string(data)})
	r.sockets.Broadcast(context.Background(), websocket.Text, data)
}

// post is how one says something who is there by event stream.
func (r *room) post(w http.ResponseWriter, req *http.Request) {
	var m message
	if err := json.NewDecoder(http.MaxBytesReader(w, req.Body, 64<<10)).Decode(&m); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.say(m)
	w.WriteHeader(http.StatusNoContent)
}

// stream lets one in who hears by event stream: first what was said since the message with Last-Event-ID, which browsers send when they come back.
func (r *room) stream(w http.ResponseWriter, req *http.Request) {
	if req.Header.Get("Last-Event-ID") == "" {
		req.Header.Set("Last-Event-ID", "0")
	}
	r.streams.Accept(w, req, nil)
}

// socket lets one in who hears, and speaks, by WebSocket, and says itself what it has heard last.
func (r *room) socket(w http.ResponseWriter, req *http.Request) {
	c, err := websocket.Accept(w, req, &r.options)
	if err != nil {
		return // it is the client's, and answered
	}
	last, _ := strconv.Atoi(req.FormValue("last"))
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.said {
		if m.ID > last {
			data, _ := json.Marshal(m)
			c.Write(context.Background(), websocket.Text, data)
		}
	}
	r.sockets.Join(c)
}

// chatPage is for a browser: /?room=garden&by=websocket, or by=events.
const chatPage = `<!doctype html>
<title>Chat</title>
<form><input name="text" autocomplete="off" autofocus></form>
<ol></ol>
<script>
const query = new URLSearchParams(location.search)
const room = '/rooms/' + (query.get('room') || 'garden')
const unheard = new Map() // what was said here, and has not come back
let last = '', opened = 0, send

function hear(m) {
  last = m.id
  unheard.delete(m.key)
  const item = document.createElement('li')
  item.textContent = m.text
  document.querySelector('ol').append(item)
}

function say(text) {
  const m = {key: crypto.getRandomValues(new Uint32Array(4)).join(), text}
  unheard.set(m.key, m)
  send(m)
}

// What was said before it ended may not have been heard.
function open() {
  opened++
  for (const m of unheard.values()) send(m)
}

function byWebSocket() {
  const socket = new WebSocket('ws://' + location.host + room + '/websocket?last=' + last)
  send = (m) => { if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(m)) }
  socket.onopen = open
  socket.onmessage = (event) => hear(JSON.parse(event.data))
  socket.onclose = (event) => { // 1012 is a restart: another server is there soon
    setTimeout(byWebSocket, (event.code === 1012 ? 500 : 2000) * (1 + Math.random()))
  }
}

function byEvents() {
  const events = new EventSource(room + '/events') // it comes back by itself, with the ID of the last event
  send = (m) => fetch(room, {method: 'POST', body: JSON.stringify(m)}).catch(() => {})
  events.onopen = open
  events.onmessage = (event) => hear(JSON.parse(event.data))
  events.addEventListener('missed', (event) => hear({id: last, text: 'missed: ' + event.data}))
}

query.get('by') === 'websocket' ? byWebSocket() : byEvents()
document.querySelector('form').onsubmit = (event) => {
  event.preventDefault()
  const input = event.target.elements.text
  say(input.value)
  input.value = ''
}
</script>
`

// A chat with two rooms. Each is entered by WebSocket or by event stream, and who comes back gets what was said meanwhile. A server that is shut down
// tells those by WebSocket by 1012 (Service Restart) and those by event stream when to come back.
func Example_chat() {
	talk := newChat("garden", "kitchen")
	serving, ended := make(chan netip.AddrPort, 1), make(chan error, 1)
	srv := &poller.Server{
		Addr: "127.0.0.1:0", Handler: talk, Spread: 100 * time.Millisecond,
		Serving: func(a netip.AddrPort) { serving <- a },
	}
	go func() { ended <- srv.ListenAndServe() }()
	addr := (<-serving).String()

	post := func(key, text string) {
		resp, err := http.Post("http://"+addr+"/rooms/garden", "application/json", strings.NewReader(fmt.Sprintf(`{"key": %q, "text": %q}`, key, text)))
		if err != nil {
			log.Fatal(err)
		}
		resp.Body.Close()
	}
	post("1", "hello")
	post("2", "is anybody there?")
	post("2", "is anybody there?") // again, as if the answer had been lost
	resp, err := http.Get("http://" + addr + "/rooms/garden/events")
	if err != nil {
		log.Fatal(err)
	}
	post("3", "yes")
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		switch line := lines.Text(); {
		case strings.HasPrefix(line, "data: "):
			fmt.Println(line)
			if strings.Contains(line, "yes") {
				go srv.Shutdown(context.Background())
			}
		case strings.HasPrefix(line, "retry: "):
			fmt.Println("and when to come back")
		}
	}
	resp.Body.Close()
	fmt.Println(<-ended)
	// Output:
	// data: {"id":1,"key":"1","text":"hello"}
	// data: {"id":2,"key":"2","text":"is anybody there?"}
	// data: {"id":3,"key":"3","text":"yes"}
	// and when to come back
	// http: Server closed
}
