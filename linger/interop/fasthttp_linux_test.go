//go:build linux

package interop

import (
	"crypto/tls"
	"net"
	"testing"

	"rstserver/internal/lingertest"
	"rstserver/linger"
	"rstserver/linger/interop/internal/fleet"
)

func TestFasthttp(t *testing.T) {
	bare := func(ln net.Listener) net.Listener { return ln }
	t.Run("Abort", func(t *testing.T) {
		fleet.AbortsAll(t, fleet.StartFast(t, linger.ListenConfig{Armed: true}, bare), lingertest.Times(200, 1000), fleet.FastStates(fleet.Raw))
	})
	t.Run("Abort, TLS", func(t *testing.T) {
		server, config := fleet.SelfSigned(t)
		server.NextProtos = nil
		s := fleet.StartFast(t, linger.ListenConfig{}, func(ln net.Listener) net.Listener { return tls.NewListener(ln, server) })
		fleet.AbortsAll(t, s, 100, fleet.FastStates(fleet.OverTLS(config)))
	})
	t.Run("Drain", func(t *testing.T) {
		fleet.DrainsAll(t, fleet.StartFast(t, linger.ListenConfig{}, bare), fleet.FastStates(fleet.Raw))
	})
	t.Run("Drain in order", func(t *testing.T) {
		fleet.FinishesInDrain(t, fleet.StartFast(t, linger.ListenConfig{}, bare), fleet.Finishing(fleet.Raw))
	})
}
