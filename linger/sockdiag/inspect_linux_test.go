//go:build linux

package sockdiag

import (
	"encoding/binary"
	"net"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
)

// connectionOf waits until the only connection of the port is as ok wants it.
func connectionOf(t *testing.T, port uint16, ok func(s Socket) bool) Socket {
	t.Helper()
	var found Socket
	waitFor(t, system{dump: kernel.dump, open: kernel.open}, port, func(Dump) bool {
		d, err := Inspect(port)
		lingertest.Must(t, err)
		for _, s := range d.Sockets {
			if s.State == Listen {
				if s.Traffic != (Traffic{}) {
					t.Errorf("a listening socket has %+v", s.Traffic)
				}
			} else if ok(s) {
				found = s
				return true
			}
		}
		return false
	})
	return found
}

func TestInspect(t *testing.T) {
	for _, f := range families {
		t.Run(f.name, func(t *testing.T) {
			s := newServer(t, f)
			client, conn := s.connect(t)
			idle := func(least time.Duration) func(Socket) bool {
				return func(s Socket) bool { d, known := s.Traffic.Idle(); return known && d >= least }
			}
			connectionOf(t, s.port, idle(20*time.Millisecond)) // since it was made

			_, err := client.Write([]byte("x"))
			lingertest.Must(t, err)
			received := connectionOf(t, s.port, func(s Socket) bool { return s.Traffic.LastReceived < s.Traffic.LastSent })
			if d, _ := received.Traffic.Idle(); d != received.Traffic.LastReceived {
				t.Errorf("Idle of %+v = %s", received.Traffic, d)
			}
			if received.RecvQueue != 1 || received.Queued() != 1 {
				t.Errorf("%+v has %d bytes queued, want 1", received, received.Queued())
			}

			connectionOf(t, s.port, idle(20*time.Millisecond))
			_, err = conn.Write([]byte("y"))
			lingertest.Must(t, err)
			sent := connectionOf(t, s.port, func(s Socket) bool { return s.Traffic.LastSent < s.Traffic.LastReceived })
			if d, _ := sent.Traffic.Idle(); d != sent.Traffic.LastSent {
				t.Errorf("Idle of %+v = %s", sent.Traffic, d)
			}
		})
	}
}

// TestInspectUnknown: of what has no full socket any more the kernel does not know, and nothing is made up.
func TestInspectUnknown(t *testing.T) {
	for _, tt := range everyState() {
		switch tt.name {
		case "TIME_WAIT", "FIN_WAIT2 orphan", "SYN_RECV", "CLOSE":
			t.Run(tt.name, func(t *testing.T) {
				port, want := tt.make(t, newServer(t, families[0]))
				want.find(t, kernel, port)
				got := connectionOf(t, port, func(s Socket) bool { return s.State == want.State })
				if _, known := got.Traffic.Idle(); known {
					t.Errorf("traffic of %+v is known", got)
				}
			})
		}
	}
}

func TestInspectFromProc(t *testing.T) {
	s := newServer(t, families[0])
	s.connect(t)
	var d Dump
	lingertest.Wait(t, "both sockets", func() bool {
		var err error
		if d, err = procOnly.inspect(s.port); err != nil || d.Source != FromProc {
			t.Fatalf("Inspect = %+v, %v", d, err)
		}
		return len(d.Sockets) == 2
	})
	for _, s := range d.Sockets {
		if s.Traffic.Known {
			t.Errorf("traffic of %+v is known from /proc", s)
		}
	}
}

func TestDecodeTraffic(t *testing.T) {
	ne := binary.NativeEndian
	attribute := func(kind uint16, body []byte) []byte {
		b := ne.AppendUint16(nil, uint16(sizeofAttrHeader+len(body)))
		b = append(ne.AppendUint16(b, kind), body...)
		for len(b)%unix.NLA_ALIGNTO != 0 {
			b = append(b, 0)
		}
		return b
	}
	info := make([]byte, unix.SizeofTCPInfo)
	ne.PutUint32(info[44:], 5)  // tcpi_last_data_sent
	ne.PutUint32(info[52:], 70) // tcpi_last_data_recv
	want := Traffic{Known: true, LastSent: 5 * time.Millisecond, LastReceived: 70 * time.Millisecond}
	tests := []struct {
		name       string
		attributes []byte
		want       Traffic
	}{
		{"none", nil, Traffic{}},
		{"info", attribute(inetDiagInfo, info), want},
		{"behind another", join(attribute(8, []byte{1}), attribute(inetDiagInfo, info)), want},
		{"of an older kernel", attribute(inetDiagInfo, info[:104]), want},
		{"of a newer kernel", attribute(inetDiagInfo, append(info, 1, 2, 3, 4)), want},
		{"another", attribute(8, info), Traffic{}},
		{"too short", attribute(inetDiagInfo, info[:52]), Traffic{}},
		{"cut off", attribute(inetDiagInfo, info)[:60], Traffic{}},
		{"length of nothing", make([]byte, 16), Traffic{}},
		{"header cut off", []byte{4, 0}, Traffic{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := decodeTraffic(append(make([]byte, sizeofMessage), tt.attributes...)); got != tt.want {
				t.Errorf("decodeTraffic = %+v, want %+v", got, tt.want)
			}
		})
	}
}

// TestOutgoing asks of each end of a connection who has made it: while it is new, with data acknowledged and under way, and once the
// other end has closed.
func TestOutgoing(t *testing.T) {
	for _, f := range families {
		t.Run(f.name, func(t *testing.T) {
			s := newServer(t, f)
			client, conn := s.connect(t)
			check := func(when string) {
				t.Helper()
				for end, c := range map[string]*net.TCPConn{"client": client, "server": conn} {
					lingertest.Wait(t, end+", "+when, func() bool {
						d, err := Inspect(unmap(c.LocalAddr()).Port())
						lingertest.Must(t, err)
						i := slices.IndexFunc(d.Sockets, func(s Socket) bool { return s.Remote == unmap(c.RemoteAddr()) })
						return i >= 0 && d.Sockets[i].Traffic.Outgoing == (end == "client")
					})
				}
			}
			check("new")
			for _, c := range []*net.TCPConn{client, conn} {
				_, err := c.Write(make([]byte, 1000))
				lingertest.Must(t, err)
			}
			check("with data that is not read")
			lingertest.Must(t, conn.SetWriteDeadline(time.Now().Add(50*time.Millisecond)))
			_, _ = conn.Write(make([]byte, 64<<20)) // more than the buffers of both take
			check("with data that waits")
			lingertest.Must(t, conn.CloseWrite())
			d, err := Inspect(unmap(client.LocalAddr()).Port())
			lingertest.Must(t, err)
			if len(d.Sockets) == 0 || !d.Sockets[0].Traffic.Outgoing {
				t.Errorf("the client of one that closes is %+v, want outgoing", d.Sockets)
			}
		})
	}
}
