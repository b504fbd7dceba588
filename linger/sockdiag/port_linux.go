//go:build linux

package sockdiag

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// Port returns the sockets whose local port is port, which must not be 0. It asks netlink and, where that fails for
// whatever reason, reads /proc; the error, when both fail, wraps both causes. Any goroutine may call it.
func Port(port uint16) (Dump, error) { return kernel.port(port) }

// Count is Port for the numbers alone: it builds no Socket and its memory does not grow with their number. Its errors are Port's.
func Count(port uint16) (Counts, Source, error) { return kernel.count(port) }

// Each calls f for each socket whose local port is port, until f returns false, and returns where they came from.
// Memory does not grow with their number. The Socket is f's for the length of one call: it is overwritten by the
// next one. f must not take long, since the kernel's walk waits for it.
//
// Errors are those of Port, with one more: when netlink fails after f was called, Each cannot start again without
// repeating sockets and returns the failure (ErrInterrupted is one).
func Each(port uint16, f func(*Socket) bool) (Source, error) { return kernel.each(ports{port}, f) }

// EachOf is Each for the sockets of several ports, of which there is at least one, in no particular order. The kernel walks its
// tables once for all of them, which is most of what it takes to look at one. Its errors are those of Each.
func EachOf(several []uint16, f func(*Socket) bool) (Source, error) { return kernel.eachOf(several, f) }

// ports are in ascending order.
type ports []uint16

func (p ports) have(port uint16) bool {
	if len(p) == 1 {
		return p[0] == port
	}
	_, have := slices.BinarySearch(p, port)
	return have
}

// String is how errors name them.
func (p ports) String() string {
	if len(p) == 1 {
		return fmt.Sprintf("port %d", p[0])
	}
	return fmt.Sprintf("%d ports", len(p))
}

// ErrInterrupted is returned by Each when the kernel says that its tables changed so much during the dump that
// sockets are missing (NLM_F_DUMP_INTR). Port and Count ask again, and then read /proc.
var ErrInterrupted = errors.New("sockdiag: dump interrupted")

// attempts is how often Port and Count ask netlink before they turn to /proc. The number is a guess: TCP dumps have
// not been seen to be interrupted at all.
const attempts = 3

// system is what this package needs of the machine. Tests put failures in its place.
type system struct {
	// dump sends the request to NETLINK_SOCK_DIAG and hands the answer to f, datagram by datagram, until f
	// reports that it was the last or fails. The datagram is f's for the length of one call.
	dump func(request []byte, f func(datagram []byte, sequence uint32) (last bool, err error)) error
	// open opens a file of /proc.
	open func(name string) (io.ReadCloser, error)
}

var kernel = system{
	dump: dumpNetlink,
	open: func(name string) (io.ReadCloser, error) { return os.Open(name) },
}

func (sys system) port(port uint16) (Dump, error) { return sys.collect(ports{port}, 0, decode) }

// collect returns the sockets that decode makes of the answer.
func (sys system) collect(of ports, extensions uint8, decode func([]byte) Socket) (Dump, error) {
	var d Dump
	source, err := sys.ask(of, question{
		extensions: extensions,
		reset:      func() { d.Sockets = d.Sockets[:0] },
		message:    func(b []byte) bool { d.Sockets = append(d.Sockets, decode(b)); return true },
		line:       func(s *Socket) bool { d.Sockets = append(d.Sockets, *s); return true },
	})
	if err != nil {
		return Dump{}, err
	}
	d.Source = source
	return d, nil
}

func (sys system) count(port uint16) (Counts, Source, error) {
	var c Counts
	source, err := sys.ask(ports{port}, question{
		reset:   func() { c = Counts{} },
		message: func(b []byte) bool { c.add(b[offsetState]); return true },
		line:    func(s *Socket) bool { c.add(uint8(s.State)); return true },
	})
	if err != nil {
		return Counts{}, "", err
	}
	return c, source, nil
}

func (sys system) each(of ports, f func(*Socket) bool) (Source, error) {
	var s Socket
	return sys.ask(of, question{
		message: func(b []byte) bool { s = decode(b); return f(&s) },
		line:    f,
	})
}

func (sys system) eachOf(several []uint16, f func(*Socket) bool) (Source, error) {
	of := slices.Clone(several)
	slices.Sort(of)
	return sys.each(of, f)
}

// A question is what to do with the answer to it. message and line return false to end it early.
type question struct {
	// extensions are the attributes that message needs, as a set of 1<<(INET_DIAG_x-1).
	extensions uint8
	// reset forgets what came so far. Where it is nil that cannot be done: a source that fails half-way is final.
	reset func()
	// message takes one inet_diag_msg that has a right port and at least sizeofMessage bytes.
	message func(b []byte) bool
	// line takes one line of /proc that has a right port. The Socket is overwritten by the next.
	line func(s *Socket) bool
}

// ask puts q to netlink and then to /proc.
func (sys system) ask(of ports, q question) (Source, error) {
	if len(of) == 0 || of[0] == 0 {
		return "", errors.New("sockdiag: port 0 is no port")
	}
	started := false
	message := func(b []byte) bool { started = true; return q.message(b) }
	var netlinkErr error
	for range attempts {
		netlinkErr = sys.netlink(of, q.extensions, message)
		if netlinkErr == nil {
			return FromNetlink, nil
		}
		if started && q.reset == nil {
			return "", fmt.Errorf("sockdiag: sockets of %s: %w", of, netlinkErr)
		}
		if q.reset != nil {
			q.reset()
		}
		if !errors.Is(netlinkErr, ErrInterrupted) {
			break
		}
	}
	procErr := sys.proc(procFiles, of, q.line)
	if procErr == nil {
		return FromProc, nil
	}
	return "", fmt.Errorf("sockdiag: sockets of %s: %w; %w", of, netlinkErr, procErr)
}
