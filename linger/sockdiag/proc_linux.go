//go:build linux

package sockdiag

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"strconv"
)

// procFiles are the tables of the calling thread's network namespace; /proc/net is the one of the process's first
// thread. The second is missing where the kernel has no IPv6.
var procFiles = [...]string{"/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"}

// proc calls f with each socket of the ports, until f returns false. The Socket is overwritten by the next.
//
// The kernel hands a table out in pieces and finds its place again by counting, so where sockets come and go meanwhile some
// are printed many times. They are reported once; one that is left out cannot be noticed.
func (sys system) proc(files [2]string, of ports, f func(*Socket) bool) error {
	type identity struct {
		local, remote netip.AddrPort
		inode         uint32
	}
	seen := make(map[identity]struct{})
	once := func(s *Socket) bool {
		id := identity{s.Local, s.Remote, s.Inode}
		if _, again := seen[id]; again {
			return true
		}
		seen[id] = struct{}{}
		return f(s)
	}
	for i, name := range files {
		more, err := sys.procFile(name, of, once)
		if i > 0 && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !more {
			return err
		}
	}
	return nil
}

func (sys system) procFile(name string, of ports, f func(*Socket) bool) (more bool, err error) {
	file, err := sys.open(name)
	if err != nil {
		return false, err
	}
	defer file.Close()
	more, err = parseProc(file, of, f)
	if err != nil {
		return false, fmt.Errorf("%s: %w", name, err)
	}
	return more, nil
}

// parseProc reads a table of proc_pid_net(5), heading included.
func parseProc(r io.Reader, of ports, f func(*Socket) bool) (more bool, err error) {
	var s Socket
	lines := bufio.NewReaderSize(r, 64<<10)
	for heading := true; ; heading = false {
		line, err := lines.ReadSlice('\n')
		if err == io.EOF && len(line) == 0 {
			return true, nil
		}
		if err != nil && err != io.EOF {
			return false, err
		}
		if heading {
			continue
		}
		match, err := parseLine(line, of, &s)
		if err != nil {
			return false, err
		}
		if match && !f(&s) {
			return false, nil
		}
	}
}

// parseLine reads one line into s where its local port is one of the ports, and reports whether it is. The columns:
//
//	sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode …
//	 0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 28938 …
//
// An address is one or four 32-bit words, each printed as a number of the machine's byte order.
func parseLine(line []byte, of ports, s *Socket) (match bool, err error) {
	rest := line
	next := func() []byte {
		rest = bytes.TrimLeft(rest, " \t\r\n")
		end := bytes.IndexAny(rest, " \t\r\n")
		if end < 0 {
			end = len(rest)
		}
		field := rest[:end]
		rest = rest[end:]
		return field
	}
	number := func(field []byte, base, bits int) uint64 {
		n, e := strconv.ParseUint(string(field), base, bits)
		if e != nil && err == nil {
			err = fmt.Errorf("line %q: %w", line, e)
		}
		return n
	}
	next() // sl
	local := next()
	_, localPort, _ := bytes.Cut(local, []byte{':'})
	if got := number(localPort, 16, 16); err != nil || !of.have(uint16(got)) {
		return false, err
	}
	ends := [2]netip.AddrPort{}
	for i, field := range [...][]byte{local, next()} {
		words, p, _ := bytes.Cut(field, []byte{':'})
		var b [16]byte
		if len(words) != 8 && len(words) != 32 {
			return false, fmt.Errorf("line %q: %q is no address", line, field)
		}
		for j := 0; j < len(words)/8; j++ {
			binary.NativeEndian.PutUint32(b[4*j:], uint32(number(words[8*j:8*j+8], 16, 32)))
		}
		addr := netip.AddrFrom4([4]byte(b[:]))
		if len(words) == 32 {
			addr = netip.AddrFrom16(b).Unmap()
		}
		ends[i] = netip.AddrPortFrom(addr, uint16(number(p, 16, 16)))
	}
	state := number(next(), 16, 8)
	tx, rx, _ := bytes.Cut(next(), []byte{':'})
	sendQueue, recvQueue := number(tx, 16, 32), number(rx, 16, 32)
	next() // tr:tm->when
	next() // retrnsmt
	uid := number(next(), 10, 32)
	next() // timeout
	inode := number(next(), 10, 64)
	if err != nil {
		return false, err
	}
	if State(state) == SynRecv {
		uid = 0 // of a connection request the table tells the listening socket's
	}
	*s = Socket{
		Local:     ends[0],
		Remote:    ends[1],
		State:     State(state),
		Inode:     uint32(inode),
		UID:       uint32(uid),
		RecvQueue: uint32(recvQueue),
		SendQueue: uint32(sendQueue),
	}
	return true, nil
}
