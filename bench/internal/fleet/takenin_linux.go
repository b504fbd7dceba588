//go:build linux

package fleet

import (
	"context"
	"fmt"
	"net/netip"

	"rstserver/bench/kinds"
	"rstserver/linger/sockdiag"
)

// own is the addresses that the clients connect from.
func (f *Fleet) own() map[kinds.Kind][]netip.AddrPort {
	own := make(map[kinds.Kind][]netip.AddrPort)
	for _, c := range f.clients {
		own[c.kind] = append(own[c.kind], c.own)
	}
	return own
}

// takenIn waits until the server has read what clients sent that are not answered, and, for those that leave what they get, has
// stopped to. The kernel knows that of the server's sockets, which are on the same machine. It is asked for all clients at once, since
// it looks through all sockets for each answer. between is called before it is asked again; its error ends the wait.
func (o Order) takenIn(ctx context.Context, own map[kinds.Kind][]netip.AddrPort, between func() error) error {
	waiting := make(map[netip.AddrPort]*script) // by a client's address
	for kind, addresses := range own {
		s := o.Target.script(kind)
		for _, a := range addresses {
			waiting[a] = s
		}
	}
	n := len(waiting)
	for until := o.deadline(); ; {
		_, err := sockdiag.Each(o.Target.Addr.Port(), func(s *sockdiag.Socket) bool {
			if script := waiting[s.Remote]; script != nil && script.taken(s) {
				delete(waiting, s.Remote)
			}
			return true
		})
		if err != nil {
			return fmt.Errorf("bench: what %s has taken in: %w", o.Target.Addr, err)
		}
		if len(waiting) == 0 {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if until.over() {
			return Error(fmt.Sprintf("bench: %s has not taken %d of %d connections in after %s: either it has not accepted them, or it has not read "+
				"what they sent, or, of unread and full ones, it has read all of it", o.Target.Addr, len(waiting), n, until.after))
		}
		if err := between(); err != nil {
			return err
		}
	}
}

// taken reports whether the server's end of a connection is where it is to be.
func (s *script) taken(end *sockdiag.Socket) bool {
	if end.Inode == 0 || end.State != sockdiag.Established {
		return false // it waits for accept
	}
	if s.leaves && end.SendQueue == 0 {
		return false
	}
	return end.RecvQueue > 0 == s.queued
}
