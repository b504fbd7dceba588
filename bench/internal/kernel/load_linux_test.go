//go:build linux

package kernel

import (
	"net"
	"testing"
	"time"

	"rstserver/internal/lingertest"
)

// What waits to be read is in the queues that TCP accounts for, but for a MiB that the kernel counts late, and the rest is what the kernel has in any case.
func TestMemory(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	lingertest.Must(t, err)
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	lingertest.Must(t, err)
	defer c.Close()
	lingertest.Must(t, c.SetWriteDeadline(time.Now().Add(200*time.Millisecond)))
	sent := 0
	for chunk := make([]byte, 64<<10); ; {
		n, err := c.Write(chunk)
		if sent += n; err != nil {
			break // both queues are full
		}
	}
	m, err := ReadMemory()
	if err != nil || m.Queues < int64(sent)/2 || m.Total < 1<<20 {
		t.Errorf("%+v, %v, with %d bytes that wait", m, err, sent)
	}
	if got, want := m.Since(Memory{Total: 1, Queues: 2}), (Memory{m.Total - 1, m.Queues - 2}); got != want {
		t.Errorf("grown by %+v, want %+v", got, want)
	}
}

// What arrives over the loopback interface is taken in by soft interrupts.
func TestSoftIRQ(t *testing.T) {
	before, err := SoftIRQ()
	lingertest.Must(t, err)
	ln, err := net.ListenPacket("udp", "127.0.0.1:0")
	lingertest.Must(t, err)
	defer ln.Close()
	c, err := net.Dial("udp", ln.LocalAddr().String())
	lingertest.Must(t, err)
	defer c.Close()
	chunk := make([]byte, 1<<10)
	lingertest.Wait(t, "the time in soft interrupts has grown", func() bool {
		for range 1000 {
			_, _ = c.Write(chunk)
		}
		now, err := SoftIRQ()
		lingertest.Must(t, err)
		return now > before
	})
}
