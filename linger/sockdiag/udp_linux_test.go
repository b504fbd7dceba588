//go:build linux

package sockdiag

import (
	"net"
	"os"
	"testing"

	"rstserver/internal/lingertest"
)

func TestUDP(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "0.0.0.0:0"} {
		c, err := net.ListenPacket("udp4", address)
		lingertest.Must(t, err)
		defer c.Close()
		addr := c.LocalAddr().(*net.UDPAddr).AddrPort()
		d, err := UDP(addr.Port())
		lingertest.Must(t, err)
		holders, _, err := d.Holders()
		lingertest.Must(t, err)
		if len(d.Sockets) != 1 || d.Sockets[0].Local != addr || !d.Sockets[0].HoldsPort() || len(holders) != 1 || holders[0].PID != os.Getpid() {
			t.Errorf("UDP(%d) = %+v of %v, want one at %s, of this process", addr.Port(), d, holders, addr)
		}
	}
}
