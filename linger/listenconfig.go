package linger

import (
	"fmt"
	"time"
)

// ListenConfig holds the options of a [Listener]. The zero value works. It is not written to.
//
// Delay, Queue, LameDuck and Spread are the parts of a [Listener.Drain], in this order:
//
//	Drain ── Delay ──▶ port given up ── Queue ──▶ LameDuck ──▶ Spread ──▶ the server's stop ──▶ ctx ends ──▶ abort
//	          accepts    no new           what was   nothing     one after   what is left is      of the
//	          as before  connection       accepted   is ended    the other   finished             rest
//	                     from here on     is begun
//
// Each is counted from the end of the one before, and is over early when no connection is left; the end of Drain's context cuts all of
// them short. An Abort has none of them. They are called the same in rstserver/poller.
type ListenConfig struct {
	// Armed says that every connection is armed from birth (see [Arm]): when the process dies in whatever way, the kernel resets them,
	// and the port is free. Close disarms a connection first, so that it ends in order as ever. Connections that were in the
	// queue of a wrapped listener before are armed when they are accepted.
	//
	// It is the listening socket that is armed, and it stays so when it is let go: a successor that holds it too relies on that,
	// and where nobody does, the socket is gone. A Listener without Armed that shares an armed socket disarms each connection
	// that it accepts. Another server that goes on with the socket has to do that too, or call [Disarm] on the socket first.
	Armed bool
	// Shared announces that other processes hold the listening socket too, or will when this Listener is done with it: it was
	// inherited, from systemd or from a predecessor, or a successor is given it. What they have is then among the Others of the
	// [Report]. A holder that is not announced, as a child that has inherited the socket, is one to whom clients can still connect:
	// the teardown is not complete, and names it. A descriptor in this process itself, as a File that was not closed, is that
	// in any case.
	Shared bool
	// Sweep makes the teardown destroy what ordinary closes have left on the port: TIME_WAIT and the like of connections that the
	// server closed first, as http.Server.Shutdown does with those that are idle (see [Residue], which says whose). It takes
	// CAP_NET_ADMIN; without that the Report says so. A Drain first waits, until its context ends, for the peers to acknowledge
	// what they were sent; Abort does not, so that the rest of an answer can be lost whose connection is closed already. It
	// costs each close two system calls. Connections of MPTCP that end in order from the beginning of a drain on are not found.
	Sweep bool

	// Delay is how long a Drain goes on to accept connections, for load balancers to learn meanwhile that this server is to be
	// left alone. Zero: not at all.
	Delay time.Duration
	// Queue bounds how long a Drain waits for what has been accepted to be begun, since servers drop a request that they read
	// when their stop was called already, as net/http does. Who has sent something is waited for until the server has read it and
	// has answered or reads on; who has sent nothing, or begins with a TLS handshake, for some time after the accept. Where all have
	// been begun it takes no time. Zero means [DefaultQueue], negative none.
	Queue time.Duration
	// LameDuck is how long all connections are kept after that: those that are busy have time to end, by a "Connection: close" that
	// the server adds or in whatever way, and nobody is told to go. Zero: not at all in a Drain, and DefaultLameDuck in a
	// HandOver.
	LameDuck time.Duration
	// Spread is the time over which the connections have their turn, one after the other, in random order, so that the clients of a
	// large server do not all come back in the same millisecond. One whose turn it is ends if it is idle; if somebody has asked for
	// its [Turn], he is told; if it is busy, it is left to the server's stop, which is called when all have had their turn. Zero: all
	// have it at once, and only those are ended that have never carried anything, while the server waits for them to: other idle
	// ones are left to the server, whose stop ends them.
	Spread time.Duration
	// Idle says which connections are idle in a Spread: nothing is queued on them, what they carried last came from the server,
	// and that was so long ago. It should be longer than any pause within an answer, and than a client that is not idle needs to send its
	// next request: the risk is that of every end of an idle connection. Zero means [DefaultIdle].
	Idle time.Duration
}

// Defaults of the fields of [ListenConfig].
const (
	DefaultQueue    = 500 * time.Millisecond // several round trips on most ways
	DefaultLameDuck = 2 * time.Second        // of a HandOver: a client that is busy has had an answer, and none is kept from the new server for long
	DefaultIdle     = time.Second
)

// maxPart bounds the parts of a drain. No fleet waits so long; what exceeds it is a number in the wrong unit.
const maxPart = 365 * 24 * time.Hour

// check returns an error that names the option that makes no sense.
func (c ListenConfig) check() error {
	for _, o := range []struct {
		name         string
		value, least time.Duration
	}{
		{"Delay", c.Delay, 0},
		{"Queue", c.Queue, -maxPart},
		{"LameDuck", c.LameDuck, 0},
		{"Spread", c.Spread, 0},
		{"Idle", c.Idle, 0},
	} {
		if o.value < o.least || o.value > maxPart {
			return fmt.Errorf("linger: ListenConfig.%s is %s; it must be %s to %s", o.name, o.value, max(o.least, 0), maxPart)
		}
	}
	return nil
}

// withDefaults returns a copy in which they are filled in.
func (c ListenConfig) withDefaults() ListenConfig {
	if c.Queue == 0 {
		c.Queue = DefaultQueue
	}
	if c.Idle == 0 {
		c.Idle = DefaultIdle
	}
	return c
}
