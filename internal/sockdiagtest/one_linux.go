//go:build linux

package sockdiagtest

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
	"rstserver/linger/sockdiag"
)

// One returns the connection of this machine from local to remote: its state, its inode and its queues. Tests that wait for one ask
// again and again, and for one the kernel need not walk through its tables, as it does for a port.
func One(t testing.TB, local, remote netip.AddrPort) (s sockdiag.Socket, found bool) {
	t.Helper()
	body, err := askForOne(local, remote)
	switch {
	case errors.Is(err, unix.ENOENT):
		return s, false
	case err == nil && len(body) >= 72: // struct inet_diag_msg
		ne := binary.NativeEndian
		s = sockdiag.Socket{Local: local, Remote: remote, State: sockdiag.State(body[1]),
			RecvQueue: ne.Uint32(body[56:]), SendQueue: ne.Uint32(body[60:]), UID: ne.Uint32(body[64:]), Inode: ne.Uint32(body[68:])}
		return s, s.State != sockdiag.Listen // which the kernel gives where there is no such connection
	}
	// As sockdiag does where netlink is refused.
	dump, err := sockdiag.Port(local.Port())
	lingertest.Must(t, err)
	for _, s := range dump.Sockets {
		if s.Local == local && s.Remote == remote {
			return s, true
		}
	}
	return s, false
}

// askForOne returns the kernel's answer to a struct inet_diag_req_v2 (sock_diag(7)) without NLM_F_DUMP.
func askForOne(local, remote netip.AddrPort) ([]byte, error) {
	r := make([]byte, 56)
	r[0], r[1] = unix.AF_INET, unix.IPPROTO_TCP
	if local.Addr().Is6() {
		r[0] = unix.AF_INET6
	}
	binary.NativeEndian.PutUint32(r[4:], ^uint32(0)) // all states
	binary.BigEndian.PutUint16(r[8:], local.Port())
	binary.BigEndian.PutUint16(r[10:], remote.Port())
	copy(r[12:], local.Addr().AsSlice())
	copy(r[28:], remote.Addr().AsSlice())
	binary.NativeEndian.PutUint64(r[48:], ^uint64(0)) // INET_DIAG_NOCOOKIE
	conn, err := netlink.Dial(unix.NETLINK_SOCK_DIAG, nil)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	answers, err := conn.Execute(netlink.Message{Header: netlink.Header{Type: unix.SOCK_DIAG_BY_FAMILY, Flags: netlink.Request}, Data: r})
	if err != nil || len(answers) == 0 {
		return nil, err
	}
	return answers[0].Data, nil
}
