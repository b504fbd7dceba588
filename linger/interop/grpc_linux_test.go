//go:build linux

package interop

import (
	"testing"

	"rstserver/internal/lingertest"
	"rstserver/linger"
	"rstserver/linger/interop/internal/fleet"
)

func TestGRPC(t *testing.T) {
	t.Run("Abort", func(t *testing.T) {
		fleet.AbortsAll(t, fleet.StartGRPC(t, linger.ListenConfig{}, false), lingertest.Times(200, 1000), fleet.GRPCStates(false))
	})
	t.Run("Abort, TLS", func(t *testing.T) {
		fleet.AbortsAll(t, fleet.StartGRPC(t, linger.ListenConfig{Armed: true}, true), 100, fleet.GRPCStates(true))
	})
	t.Run("Drain", func(t *testing.T) {
		// GracefulStop begins with nothing before all handshakes are over, which the first two never are.
		fleet.DrainsAll(t, fleet.StartGRPC(t, linger.ListenConfig{}, false), fleet.GRPCStates(false)[2:])
	})
	t.Run("Drain in order", func(t *testing.T) {
		fleet.FinishesInDrain(t, fleet.StartGRPC(t, linger.ListenConfig{}, false),
			[]fleet.State{{Name: "in a handler", Open: fleet.GRPCClient(false, "/test/wait"), Handlers: 1}})
	})
}
