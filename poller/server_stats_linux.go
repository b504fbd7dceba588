//go:build linux

package poller

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"rstserver/internal/latch"
	"rstserver/linger"
)

// Stats says what the server has done, and what it holds. It asks no loop, so that it answers whatever these do, and costs them nothing.
// Any goroutine may call it. A Server that does not serve yet has none.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	r, mode, began := s.run, s.mode, s.began
	rep := s.report
	s.mu.Unlock()
	var st Stats
	st.Mode = mode
	if r == nil {
		return st
	}
	for _, c := range r.allCounts() {
		c.addTo(&st)
	}
	st.Serving = r.serving.Load() && !latch.IsClosed(r.refused)
	st.Held = st.Accepted - st.Ended.Total()
	st.Loops = r.table.LiveByOwner(len(r.loops))
	st.Others[linger.Hijacked] = r.hijacked.Len()
	st.Others[linger.HTTP2] = r.h2.conns.Len()
	st.MaxConns, st.Paused = int(r.admission.most()), r.admission.paused.Load()
	st.Streams = r.h2.streams.Load()
	st.Handshakes.Running, st.Handshakes.Waiting = r.handshakes.load()
	st.Handlers.Running, st.Handlers.Waiting = r.pool.load()
	st.Memory = r.memory.report()
	st.Undelivered = r.unsent.Load()
	r.port.Control(func(fd int) {
		st.Listener.Queued, st.Listener.Backlog, st.Listener.Dropped, st.Listener.Known = queueOf(fd)
	})
	limit, _ := fileLimit()
	st.Descriptors.Limit, st.Descriptors.ForConns, st.Descriptors.Open = limit, int(r.admission.limit.Load()), openFiles(limit)
	st.Steps = rep.Steps
	if mode != linger.ModeNone && st.Steps.Refused == 0 && latch.IsClosed(r.refused) {
		st.Steps.Refused = max(r.refusedAt.Sub(began), 1)
	}
	return st
}

// allCounts are those of the loops, and those beside them.
func (r *run) allCounts() []*counts {
	all := []*counts{&r.counts}
	for _, l := range r.loops {
		all = append(all, &l.counts)
	}
	return all
}

// queueOf is what the kernel says of a listening socket: of TCP_INFO the length of its accept queue and its bound (tcp_get_info of
// Linux), and of SO_MEMINFO what it has dropped.
func queueOf(fd int) (queued, backlog int, dropped int64, known bool) {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil || info.State != unix.BPF_TCP_LISTEN {
		return 0, 0, 0, false
	}
	const drops = 8 // SK_MEMINFO_DROPS, linux/sock_diag.h
	var mem [drops + 1]uint32
	size := uint32(unsafe.Sizeof(mem))
	if _, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&mem)), uintptr(unsafe.Pointer(&size)), 0); errno != 0 {
		return 0, 0, 0, false
	}
	return int(info.Unacked), int(info.Sacked), int64(mem[drops]), true
}

// openFiles is how many of limit descriptors the process has open, 0 where nobody says.
func openFiles(limit int) int {
	if n := sizeOfFiles(); n > 0 {
		return n
	}
	return countFiles(limit)
}

// filesDir has the descriptors of the process.
const filesDir = "/proc/self/fd"

// sizeOfFiles is how many descriptors the process has open, as Linux says since 6.2, in one system call; 0 where it does not.
func sizeOfFiles() int {
	var st unix.Stat_t
	if unix.Stat(filesDir, &st) != nil {
		return 0
	}
	return int(st.Size)
}

// countFiles counts them, as has to be done before Linux 6.2.
func countFiles(limit int) int {
	d, err := os.Open(filesDir)
	switch {
	case errors.Is(err, unix.EMFILE):
		return limit // there is none to count them with
	case err != nil:
		return 0
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	return max(len(names)-1, 0) // without the one that reads
}
