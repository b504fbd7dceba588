//go:build linux

package linger

import (
	"fmt"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
	"rstserver/linger/sockdiag"
)

// A crowd is connections of one process with itself, as bare descriptors.
type crowd struct {
	port             uint16
	listener         int
	clients, servers []int
}

// gather makes n connections. It skips the benchmark where the limit of open files is too low.
func gather(b *testing.B, n int) *crowd {
	b.Helper()
	var limit unix.Rlimit
	lingertest.Must(b, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	if need := uint64(2*n + 100); limit.Cur < need {
		b.Skipf("needs %d descriptors, the limit is %d", need, limit.Cur)
	}
	c := new(crowd)
	var err error
	c.listener, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	lingertest.Must(b, err)
	lingertest.Must(b, Arm(c.listener))
	lingertest.Must(b, unix.Bind(c.listener, &unix.SockaddrInet4{Addr: netip.MustParseAddr("127.0.0.1").As4()}))
	lingertest.Must(b, unix.Listen(c.listener, 128))
	sa, err := unix.Getsockname(c.listener)
	lingertest.Must(b, err)
	c.port = uint16(sa.(*unix.SockaddrInet4).Port)
	for range n {
		client, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		lingertest.Must(b, err)
		c.clients = append(c.clients, client)
		lingertest.Must(b, unix.Connect(client, sa))
		server, _, err := unix.Accept4(c.listener, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		if err == unix.EAGAIN {
			b.Fatal("accept: nobody is there")
		}
		lingertest.Must(b, err)
		lingertest.Must(b, Disarm(server))
		c.servers = append(c.servers, server)
	}
	return c
}

// dismiss closes what is open. A server that was reset leaves nothing behind, and neither does its client.
func (c *crowd) dismiss(b *testing.B) {
	b.Helper()
	for _, fd := range append(c.servers, c.listener) {
		_ = Arm(fd)
		lingertest.Must(b, unix.Close(fd))
	}
	for _, fd := range c.clients {
		_ = Arm(fd)
		lingertest.Must(b, unix.Close(fd))
	}
}

// BenchmarkAbort ends one connection: in place, which is what frees the port, and by close.
func BenchmarkAbort(b *testing.B) {
	ways := []struct {
		name   string
		closes bool
		end    func(fd int) error
	}{
		{name: "connect AF_UNSPEC", end: Abort},
		{name: "connect AF_UNSPEC + close", closes: true, end: func(fd int) error {
			if err := Abort(fd); err != nil {
				return err
			}
			return unix.Close(fd)
		}},
		{name: "SO_LINGER + close", closes: true, end: func(fd int) error {
			if err := Arm(fd); err != nil {
				return err
			}
			return unix.Close(fd)
		}},
	}
	for _, way := range ways {
		b.Run(way.name, func(b *testing.B) {
			const batch = 1000
			b.ReportAllocs()
			for done := 0; done < b.N; {
				b.StopTimer()
				c := gather(b, min(batch, b.N-done))
				b.StartTimer()
				for _, fd := range c.servers {
					if err := way.end(fd); err != nil {
						b.Fatal(err)
					}
				}
				b.StopTimer()
				done += len(c.servers)
				if way.closes {
					c.servers = nil
				}
				c.dismiss(b)
				b.StartTimer()
			}
		})
	}
}

// BenchmarkAbortOwned ends all connections of an owner; one operation is all of them.
func BenchmarkAbortOwned(b *testing.B) {
	for _, n := range []int{1000, 9000} {
		b.Run(fmt.Sprintf("connections=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				b.StopTimer()
				c := gather(b, n)
				table := new(Table)
				for _, fd := range c.servers {
					lingertest.Must(b, table.Open(fd, 1))
				}
				b.StartTimer()
				sweep := table.AbortOwned(1)
				b.StopTimer()
				if sweep.Aborted.Total() != n || sweep.Err != nil {
					b.Fatalf("AbortOwned = %v, %v", sweep.Aborted, sweep.Err)
				}
				c.dismiss(b)
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/connection")
		})
	}
	// What looking costs where nothing is to be done: the table of a process that had 19,000 descriptors once.
	b.Run("none of 19000 slots", func(b *testing.B) {
		var table Table
		for fd := range 19_000 {
			lingertest.Must(b, table.Open(fd, 1))
			table.Close(fd)
		}
		b.ReportAllocs()
		for b.Loop() {
			if n := table.AbortOwned(1).Aborted.Total(); n != 0 {
				b.Fatal(n)
			}
		}
	})
}

func BenchmarkTable(b *testing.B) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	lingertest.Must(b, err)
	defer unix.Close(fd)
	b.Run("Open and Close", func(b *testing.B) {
		var table Table
		b.ReportAllocs()
		for b.Loop() {
			if err := table.Open(fd, 1); err != nil {
				b.Fatal(err)
			}
			table.Close(fd)
		}
	})
	b.Run("SetActivity", func(b *testing.B) {
		var table Table
		lingertest.Must(b, table.Open(fd, 1))
		b.ReportAllocs()
		for b.Loop() {
			table.SetActivity(fd, Handling)
			table.SetActivity(fd, Idle)
		}
	})
	b.Run("Live, 19000 slots", func(b *testing.B) {
		var table Table
		for fd := range 19_000 {
			lingertest.Must(b, table.Open(fd, 1))
		}
		b.ReportAllocs()
		for b.Loop() {
			if n := table.Live().Total(); n != 19_000 {
				b.Fatal(n)
			}
		}
	})
}

// BenchmarkVerify asks while the descriptors of the aborted connections are still open, as a teardown does.
func BenchmarkVerify(b *testing.B) {
	for _, successor := range []int{0, 1} {
		b.Run(fmt.Sprintf("descriptors=18000/others=%d", successor), func(b *testing.B) {
			c := gather(b, 9000)
			defer c.dismiss(b)
			var table Table
			for _, fd := range c.servers[successor:] {
				lingertest.Must(b, table.Open(fd, 1))
			}
			sweep := table.AbortOwned(1)
			want := sockdiag.Counts{sockdiag.Listen: 1, sockdiag.Established: successor}
			b.ReportAllocs()
			for b.Loop() {
				left, err := Verify(Ending{Port: c.port, Connections: sweep.Cookies})
				if left.Others != want || left.Outlived.Total() != 0 || err != nil {
					b.Fatalf("Verify = %+v, %v\n%s", left, err, lingertest.Leftover(c.port))
				}
			}
		})
	}
}
