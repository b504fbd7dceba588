package sockdiag

import (
	"net/netip"
	"testing"
	"time"
)

func network(t *testing.T, s string) []netip.Prefix {
	t.Helper()
	n, err := ParseNetwork(s)
	if err != nil {
		t.Fatal(err)
	}
	return []netip.Prefix{n}
}

func TestSelector(t *testing.T) {
	conn := Socket{
		Local: netip.MustParseAddrPort("10.1.2.3:80"), Remote: netip.MustParseAddrPort("192.168.0.9:5000"), State: Established,
		RecvQueue: 10, SendQueue: 20,
		Traffic: Traffic{Known: true, LastReceived: 4 * time.Second, LastSent: 9 * time.Second},
	}
	conn6 := Socket{Local: netip.MustParseAddrPort("[fd00::1]:80"), Remote: netip.MustParseAddrPort("[fd00::9]:5000"), State: TimeWait}
	mapped := Socket{Local: netip.MustParseAddrPort("[::ffff:10.1.2.3]:80"), Remote: netip.MustParseAddrPort("[::ffff:192.168.0.9]:5000")}
	zone := Socket{Local: netip.MustParseAddrPort("[fe80::1%lo]:80"), Remote: netip.MustParseAddrPort("[fe80::2%lo]:5000")}
	listener := Socket{Local: netip.MustParseAddrPort("0.0.0.0:80"), Remote: netip.MustParseAddrPort("0.0.0.0:0"), State: Listen, RecvQueue: 3, SendQueue: 4096}
	request := Socket{State: SynRecv}
	nginx := []Process{{PID: 12, Name: "nginx"}, {PID: 13, Name: "worker"}}
	long := []Process{{PID: 14, Name: "a-name-cut-off-"}}
	nameless := []Process{{PID: 15}}

	for _, tt := range []struct {
		name    string
		sel     Selector
		socket  Socket
		holders []Process
		want    bool
	}{
		{name: "zero value", socket: conn, want: true},
		{name: "port", sel: Selector{LocalPort: 80}, socket: conn, want: true},
		{name: "another port", sel: Selector{LocalPort: 81}, socket: conn},
		{name: "the peer's port", sel: Selector{LocalPort: 5000}, socket: conn},

		{name: "local address", sel: Selector{Local: network(t, "10.1.2.3")}, socket: conn, want: true},
		{name: "another local address", sel: Selector{Local: network(t, "10.1.2.4")}, socket: conn},
		{name: "local network", sel: Selector{Local: network(t, "10.0.0.0/8")}, socket: conn, want: true},
		{name: "the peer's network", sel: Selector{Local: network(t, "192.168.0.0/16")}, socket: conn},
		{name: "local address of the other family", sel: Selector{Local: network(t, "::/0")}, socket: conn},
		{name: "local address of a listener", sel: Selector{Local: network(t, "0.0.0.0")}, socket: listener, want: true},

		{name: "peer", sel: Selector{Peer: network(t, "192.168.0.9")}, socket: conn, want: true},
		{name: "peer's network", sel: Selector{Peer: network(t, "192.168.0.200/24")}, socket: conn, want: true},
		{name: "not in the peer's network", sel: Selector{Peer: network(t, "192.168.1.0/24")}, socket: conn},
		{name: "all of IPv4", sel: Selector{Peer: network(t, "0.0.0.0/0")}, socket: conn, want: true},
		{name: "all of IPv4 and a listener", sel: Selector{Peer: network(t, "0.0.0.0/0")}, socket: listener},
		{name: "one of two peers", sel: Selector{Peer: append(network(t, "10.0.0.0/8"), network(t, "192.0.0.0/8")...)}, socket: conn, want: true},
		{name: "IPv6 peer", sel: Selector{Peer: network(t, "fd00::/8")}, socket: conn6, want: true},
		{name: "another IPv6 peer", sel: Selector{Peer: network(t, "fd00::8")}, socket: conn6},
		{name: "IPv6 and an IPv4 network", sel: Selector{Peer: network(t, "0.0.0.0/0")}, socket: conn6},
		{name: "IPv4 in IPv6", sel: Selector{Peer: network(t, "192.168.0.9"), Local: network(t, "10.0.0.0/8")}, socket: mapped, want: true},
		{name: "network of IPv4 in IPv6", sel: Selector{Peer: network(t, "::ffff:192.168.0.0/112")}, socket: conn, want: true},
		{name: "such a network not from ParseNetwork", sel: Selector{Peer: []netip.Prefix{netip.MustParsePrefix("::ffff:192.168.0.0/112")}}, socket: conn, want: true},
		{name: "zone", sel: Selector{Peer: network(t, "fe80::/10")}, socket: zone, want: true},

		{name: "state", sel: Selector{States: []State{Established}}, socket: conn, want: true},
		{name: "another state", sel: Selector{States: []State{TimeWait, FinWait2}}, socket: conn},
		{name: "one of two states", sel: Selector{States: []State{TimeWait, Established}}, socket: conn, want: true},
		{name: "connection request", sel: Selector{States: []State{NewSynRecv}}, socket: request, want: true},

		{name: "idle", sel: Selector{Idle: 4 * time.Second}, socket: conn, want: true},
		{name: "not idle for so long", sel: Selector{Idle: 4*time.Second + 1}, socket: conn},
		{name: "idle for any time", sel: Selector{Idle: -1}, socket: conn6, want: true},
		{name: "idle for nobody knows how long", sel: Selector{Idle: 1}, socket: conn6},

		{name: "queued", sel: Selector{Queued: 30}, socket: conn, want: true},
		{name: "not so much queued", sel: Selector{Queued: 31}, socket: conn},
		{name: "queue of a listener", sel: Selector{Queued: 1}, socket: listener},

		{name: "process by number", sel: Selector{Processes: []string{"12"}}, socket: conn, holders: nginx, want: true},
		{name: "process by name", sel: Selector{Processes: []string{"nginx"}}, socket: conn, holders: nginx, want: true},
		{name: "the other holder", sel: Selector{Processes: []string{"worker"}}, socket: conn, holders: nginx, want: true},
		{name: "part of a name", sel: Selector{Processes: []string{"ngin"}}, socket: conn, holders: nginx},
		{name: "part of a number", sel: Selector{Processes: []string{"1"}}, socket: conn, holders: nginx},
		{name: "long name", sel: Selector{Processes: []string{"a-name-cut-off-by-the-kernel"}}, socket: conn, holders: long, want: true},
		{name: "no process", sel: Selector{Processes: []string{"nginx"}}, socket: conn},
		{name: "nameless process", sel: Selector{Processes: []string{""}}, socket: conn, holders: nameless},

		{name: "all conditions", socket: conn, holders: nginx, want: true, sel: Selector{LocalPort: 80, Local: network(t, "10.0.0.0/8"),
			Peer: network(t, "192.168.0.9"), States: []State{Established}, Idle: time.Second, Queued: 1, Processes: []string{"12"}}},
		{name: "all but one condition", socket: conn, holders: nginx, sel: Selector{LocalPort: 80, Local: network(t, "10.0.0.0/8"),
			Peer: network(t, "192.168.0.9"), States: []State{Established}, Idle: time.Minute, Queued: 1, Processes: []string{"12"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.sel.Match(&tt.socket, tt.holders...); got != tt.want {
				t.Errorf("%+v.Match(%+v, %v) = %v, want %v", tt.sel, tt.socket, tt.holders, got, tt.want)
			}
		})
	}
}

func TestParseNetwork(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"10.0.0.5", "10.0.0.5/32"},
		{"::1", "::1/128"},
		{"10.1.2.3/8", "10.0.0.0/8"},
		{"fd12::1/8", "fd00::/8"},
		{"0.0.0.0/0", "0.0.0.0/0"},
		{"::ffff:10.0.0.5", "10.0.0.5/32"},
		{"::ffff:10.0.0.5/104", "10.0.0.0/8"},
		{"::ffff:0.0.0.0/90", "::ffc0:0:0/90"},
		{"", ""},
		{"localhost", ""},
		{"10.0.0", ""},
		{"10.0.0.0/33", ""},
		{"10.0.0.0/", ""},
		{"/8", ""},
		{"10.0.0.5:80", ""},
		{"[::1]", ""},
		{"fe80::1%eth0", ""},
		{"fe80::1%eth0/64", ""},
	} {
		got, err := ParseNetwork(tt.in)
		if (err == nil) != (tt.want != "") || err == nil && got.String() != tt.want {
			t.Errorf("ParseNetwork(%q) = %v, %v, want %q", tt.in, got, err, tt.want)
		}
	}
}
