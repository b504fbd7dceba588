// Package events has what event streams of the peers send, as rstserver's GET /events and GET and POST /events/room do.
package events

import (
	"fmt"
	"time"

	"rstserver/bench/peers/room"
)

// Tick sends an event at once, and one every so many milliseconds, until send fails.
func Tick(ms int, send func(event []byte) error) {
	tick := time.NewTicker(time.Duration(max(ms, 1)) * time.Millisecond)
	defer tick.Stop()
	for n := 1; send(fmt.Appendf(nil, "id: %d\ndata: %s\n\n", n, time.Now().UTC().Format(time.RFC3339Nano))) == nil; n++ {
		<-tick.C
	}
}

// Room sends events to all who are in it. The zero value is empty. Any goroutine may call its methods.
type Room struct{ room.Room[[]byte] }

// Serve sends what is posted from now on, until send fails.
func (r *Room) Serve(send func(event []byte) error) { r.Room.Serve(r.Join(), nil, send) }

// Post sends an event of one line to all who are in the room.
func (r *Room) Post(data []byte) { r.Tell(fmt.Appendf(nil, "data: %s\n\n", data)) }
