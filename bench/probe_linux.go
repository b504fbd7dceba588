//go:build linux

package bench

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/linger"
)

// ProbeInterval is the resolution of [FreeAt].
const ProbeInterval = 250 * time.Microsecond

// FreeAt tries to bind addr without SO_REUSEADDR until that succeeds (see [linger.CheckFree]), and returns the time. It returns ctx's error when that ends first.
func FreeAt(ctx context.Context, addr netip.AddrPort) (time.Time, error) {
	ticker := time.NewTicker(ProbeInterval)
	defer ticker.Stop()
	for {
		err := linger.CheckFree(addr)
		if err == nil {
			return time.Now(), nil
		}
		if !errors.Is(err, unix.EADDRINUSE) {
			return time.Time{}, err
		}
		select {
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		case <-ticker.C:
		}
	}
}
