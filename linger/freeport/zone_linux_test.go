//go:build linux

package freeport

import (
	"errors"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"testing"

	"rstserver/internal/lingertest"
	"rstserver/linger/sockdiag"
)

// An address that is valid on one link only is bound on that link, so that whoever has the port at other addresses is not in the way.
func TestJudgeLinkLocal(t *testing.T) {
	const address = "fe80::1234"
	if !lingertest.Elsewhere(t, func() error {
		if err := lingertest.Network(nil); err != nil {
			return err
		}
		if out, err := exec.Command("ip", "-6", "addr", "add", address+"/64", "dev", "lo", "nodad").CombinedOutput(); err != nil {
			return errors.New(string(out))
		}
		return nil
	}) {
		return
	}
	other, err := net.Listen("tcp6", "[::1]:0")
	lingertest.Must(t, err)
	defer other.Close()
	port := uint16(other.Addr().(*net.TCPAddr).Port)
	network, err := sockdiag.ParseNetwork(address)
	lingertest.Must(t, err)
	p := &Plan{Select: sockdiag.Selector{LocalPort: port, Local: []netip.Prefix{network}}}
	on := netip.AddrPortFrom(netip.MustParseAddr(address+"%lo"), port)
	v, err := p.Judge()
	if err != nil || !v.Free || !slices.Equal(v.Bound, []netip.AddrPort{on}) {
		t.Errorf("Judge = %+v, %v, want %s bound", v, err, on)
	}
	ln, err := net.Listen("tcp6", on.String())
	lingertest.Must(t, err)
	defer ln.Close()
	if v, err := p.Judge(); err != nil || v.Free || !v.InUse() || v.Refused != on {
		t.Errorf("Judge = %+v, %v, want %s in use", v, err, on)
	}
}
