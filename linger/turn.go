package linger

import (
	"context"
	"net"

	"rstserver/internal/turnkey"
)

// Turn returns a context that ends when it is the turn of the connection of ctx to come to its end in a [Listener.Drain] (see
// [ListenConfig]). It is for what does not end by itself: a handler of an event stream selects on its Done beside its events, sends the
// last one, and returns; that of a WebSocket sends the close frame by [context.AfterFunc]. Once asked for, the connection is left to
// whoever has asked until the context of the Drain ends. ctx is the context of a request, or derived from it, whose server has
// [ConnContext], or is a poller.Server; for another the Turn never ends.
//
// A Turn does not end when the connection does. What waits for it keeps the connection from being found forgotten; so it should
// stop when the connection is over, by the function that context.AfterFunc returns.
func Turn(ctx context.Context) context.Context {
	if h, ok := ctx.Value(turnkey.Key{}).(turner); ok {
		return h.Turn()
	}
	return context.Background()
}

// ConnContext makes [Turn] find the turn of c, which a [Listener] has accepted, or a TLS or other connection around such a one that has
// NetConn. It is for the ConnContext of http.Server.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	for below := c; below != nil; {
		if h, ok := below.(turner); ok {
			return context.WithValue(ctx, turnkey.Key{}, h)
		}
		around, ok := below.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		below = around.NetConn()
	}
	return ctx
}

// turner is a connection that has a turn.
type turner interface{ Turn() context.Context }

// turn is that of one connection.
type turn struct {
	context.Context
	come context.CancelFunc
}

func newTurn() *turn {
	t := new(turn)
	t.Context, t.come = context.WithCancel(context.Background())
	return t
}

// turnCome is the turn of connections that had it before anybody asked.
var turnCome = func() *turn {
	t := newTurn()
	t.come()
	return t
}()
