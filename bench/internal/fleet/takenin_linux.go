//go:build linux

package fleet

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"rstserver/linger/sockdiag"
)

// takenIn waits until the server has read what clients sent that are not answered, and, for those that leave what they get, has
// stopped to. The kernel knows that of the server's sockets, which are on the same machine.
func (f *Fleet) takenIn(ctx context.Context, until deadline) error {
	waiting := make(map[netip.AddrPort]*client, len(f.clients)) // by address
	for _, c := range f.clients {
		waiting[c.own] = c
	}
	for {
		_, err := sockdiag.Each(f.addr.Port(), func(s *sockdiag.Socket) bool {
			if c := waiting[s.Remote]; c != nil && c.taken(s) {
				delete(waiting, c.own)
			}
			return true
		})
		if err != nil {
			return fmt.Errorf("bench: what %s has taken in: %w", f.addr, err)
		}
		if len(waiting) == 0 {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if until.over() {
			return fmt.Errorf("bench: %s has not taken %d of %d connections in after %s: either it has not accepted them, or it has not read "+
				"what they sent, or, of unread and full ones, it has read all of it", f.addr, len(waiting), len(f.clients), until.after)
		}
		if err := f.poll(time.Millisecond); err != nil {
			return err
		}
		if err := f.early(); err != nil {
			return err
		}
	}
}

// taken reports whether the server's end of c is where it is to be.
func (c *client) taken(s *sockdiag.Socket) bool {
	if s.Inode == 0 || s.State != sockdiag.Established {
		return false // it waits for accept
	}
	if c.script.leaves && s.SendQueue == 0 {
		return false
	}
	return s.RecvQueue > 0 == c.script.queued
}
