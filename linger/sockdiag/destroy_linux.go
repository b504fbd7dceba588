//go:build linux

package sockdiag

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Reasons for which a socket is refused, in [Refusal.Err]; errors.Is finds the kernel's errno in the middle three too.
var (
	// ErrHoldsPort: the socket listens, or is bound and not connected. Such a socket keeps its port through its
	// descriptor, even after it was destroyed: the listener would be broken and the port still taken. Only the process
	// that has the descriptor can give it up (see Holders). The kernel is not asked.
	ErrHoldsPort = errors.New("sockdiag: a socket that listens or is only bound is never destroyed, as its descriptor would keep the port")
	// ErrNoCookie: the Socket does not say which socket it is, since it was read from /proc. The kernel is not asked.
	ErrNoCookie = errors.New("sockdiag: the socket has no cookie, without which another one could be hit")
	// ErrNotPermitted: the thread does not have CAP_NET_ADMIN in the user namespace that owns the network namespace (EPERM).
	ErrNotPermitted = fmt.Errorf("sockdiag: destroying a socket needs CAP_NET_ADMIN: %w", unix.EPERM)
	// ErrNotSupported: the kernel cannot destroy sockets at all: it was built without CONFIG_INET_DIAG_DESTROY, or it is
	// older than Linux 4.5 (EOPNOTSUPP).
	ErrNotSupported = fmt.Errorf("sockdiag: the kernel was built without CONFIG_INET_DIAG_DESTROY: %w", unix.EOPNOTSUPP)
	// ErrTimeWait: the kernel can destroy others, but no connection in TIME_WAIT, nor one in FIN_WAIT2 that has no
	// descriptor any more; Linux 6.0 is the first that does (EOPNOTSUPP).
	ErrTimeWait = fmt.Errorf("sockdiag: a kernel before Linux 6.0 does not destroy a socket in TIME_WAIT: %w", unix.EOPNOTSUPP)
)

// Destruction says what Destroy has come to. Each socket is counted once; calls at the same time may both have destroyed the
// same one, as far as the kernel says.
type Destruction struct {
	Destroyed int // ended by the kernel
	Gone      int // had ended by themselves before
	Refused   []Refusal
}

// Refusal is a socket that was not destroyed, and the reason. Its Err is one of those of this package, or wraps the
// kernel's errno.
type Refusal struct {
	Socket Socket
	Err    error
}

// Destroy ends sockets from outside (SOCK_DESTROY), which needs CAP_NET_ADMIN: the peer of a connection is sent RST, the
// process that has it open reads ECONNABORTED, and nothing is left of it on its port. TIME_WAIT is ended without a word, and
// so are connection requests.
//
// The kernel compares address, port and cookie of each, so a successor with the same addresses is never hit, and its answer
// for each is waited for. A Socket may be passed long after [Port], [Each] or [Inspect] has returned it.
//
// The error says that the kernel could not be asked; the Destruction counts what was known by then. A refusal is no error.
// Kernels before Linux 6.11 say that they have destroyed an orphan, a connection without a descriptor that still has
// something to send, and leave it: look again. Any goroutine may call it.
func Destroy(sockets []Socket) (Destruction, error) {
	var d Destruction
	asked := make([]Socket, 0, len(sockets))
	for _, s := range sockets {
		switch {
		case s.HoldsPort():
			d.Refused = append(d.Refused, Refusal{s, ErrHoldsPort})
		case s.Cookie == 0 || s.Cookie == noCookie:
			d.Refused = append(d.Refused, Refusal{s, ErrNoCookie})
		default:
			asked = append(asked, s)
		}
	}
	if len(asked) == 0 {
		return d, nil
	}
	ch, err := dial()
	if err != nil {
		return d, fmt.Errorf("sockdiag: destroying sockets: netlink: %w", err)
	}
	defer ch.close()
	answers, err := destroy(asked, ch.exchange)
	for i, answer := range answers {
		switch answer {
		case nil:
			d.Destroyed++
		case errGone:
			d.Gone++
		case errUnanswered:
		default:
			d.Refused = append(d.Refused, Refusal{asked[i], answer})
		}
	}
	if err != nil {
		return d, fmt.Errorf("sockdiag: destroying sockets: netlink: %w", err)
	}
	return d, nil
}

// CanDestroy reports whether Destroy could work: ErrNotSupported, ErrNotPermitted where the calling thread has no
// CAP_NET_ADMIN or has it in a user namespace to which the network namespace does not belong, or an error that says that the
// kernel cannot be asked. Nil is no promise, since a security module may have a say too. It destroys nothing.
func CanDestroy() error {
	ch, err := dial()
	if err != nil {
		return fmt.Errorf("sockdiag: netlink: %w", err)
	}
	defer ch.close()
	if err := supported(ch.exchange); err != nil {
		return err
	}
	if !hasNetAdmin() || !ownsNetwork() {
		return ErrNotPermitted
	}
	return nil
}

// hasNetAdmin reports whether the thread has CAP_NET_ADMIN in its user namespace, or whether that cannot be told.
func hasNetAdmin() bool {
	status, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		return true
	}
	for line := range strings.Lines(string(status)) {
		if set, ok := strings.CutPrefix(line, "CapEff:"); ok {
			capabilities, err := strconv.ParseUint(strings.TrimSpace(set), 16, 64)
			return err != nil || capabilities&(1<<unix.CAP_NET_ADMIN) != 0
		}
	}
	return true
}

// ownsNetwork reports whether the network namespace belongs to the thread's user namespace or to one below it, or whether that
// cannot be told. Of one that belongs to a namespace above, the kernel does not hand out the owner (ioctl_nsfs(2)).
func ownsNetwork() bool {
	f, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return true
	}
	defer f.Close()
	owner, err := unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_USERNS)
	if err != nil {
		return !errors.Is(err, unix.EPERM)
	}
	_ = unix.Close(owner)
	return true
}

// The requests of one call go out in batches, each as one datagram, and each request has an answer of its own.
const (
	// batchSize is how many requests a batch has. The kernel puts all answers into the receive buffer before sendto(2)
	// returns: 212,992 bytes by default, of which an answer takes up to 1,024. What does not fit is lost.
	batchSize = 128

	sizeofRequestV2 = 56 // struct inet_diag_req_v2
	offsetReqV2ID   = 8  // id, a struct inet_diag_sockid; struct inet_diag_msg has the same from offsetLocalPort on
	sizeofDestroy   = unix.SizeofNlMsghdr + sizeofRequestV2

	// noCookie is INET_DIAG_NOCOOKIE, in both words: the kernel would take any socket with the addresses.
	noCookie = ^uint64(0)
)

// What is not known from the kernel's answer to a request.
var (
	errGone       = errors.New("sockdiag: the socket is gone")
	errUnanswered = errors.New("sockdiag: the kernel has not been asked")
)

// exchange sends a batch and hands each datagram of the answer to f, until f reports that it was the last or fails. It fails
// with ENOBUFS when answers were lost; those that were not may still come with the next exchange.
type exchange func(batch []byte, f func(datagram []byte) (last bool, err error)) error

// exchange is one with the real kernel.
func (ch *channel) exchange(batch []byte, f func(datagram []byte) (last bool, err error)) error {
	var err error
	if e := ch.raw.Control(func(fd uintptr) {
		err = unix.Sendto(int(fd), batch, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	}); e != nil {
		return e
	}
	if err != nil {
		return os.NewSyscallError("sendto", err)
	}
	return ch.receive(f)
}

// destroy asks for each of sockets and returns an answer for each: nil, errGone, a refusal, or errUnanswered for those that
// were not reached before err.
func destroy(sockets []Socket, ask exchange) (answers []error, err error) {
	d := destroyer{sockets, make([]error, len(sockets)), ask}
	for i := range d.answers {
		d.answers[i] = errUnanswered
	}
	for size, from := batchSize, 0; from < len(sockets); {
		to := min(from+size, len(sockets))
		err := d.batch(from, to)
		if errors.Is(err, unix.ENOBUFS) {
			size = max(size/2, 1)
			err = d.again(from, to)
		}
		if err != nil {
			return d.answers, err
		}
		from = to
	}
	d.explain()
	return d.answers, nil
}

// destroyer is one call of destroy. The sequence number of the request for sockets[i] is i+1.
type destroyer struct {
	sockets []Socket
	answers []error
	ask     exchange
}

// batch asks for those of sockets[from:to] that have no answer.
func (d *destroyer) batch(from, to int) error {
	var requests []byte
	open := 0
	for i := from; i < to; i++ {
		if d.answers[i] == errUnanswered {
			requests = appendDestroy(requests, &d.sockets[i], uint32(i+1))
			open++
		}
	}
	if open == 0 {
		return nil
	}
	return d.ask(requests, func(datagram []byte) (last bool, err error) {
		err = eachAnswer(datagram, func(sequence uint32, errno unix.Errno) {
			// An answer to a request of a batch before was thought lost, and has been asked for again.
			i := int(sequence) - 1
			if i < from || i >= to || d.answers[i] != errUnanswered {
				return
			}
			open--
			switch errno {
			case 0:
				d.answers[i] = nil
			case unix.ENOENT:
				d.answers[i] = errGone
			case unix.EPERM:
				d.answers[i] = ErrNotPermitted
			default:
				d.answers[i] = fmt.Errorf("sockdiag: SOCK_DESTROY: %w", errno)
			}
		})
		return open == 0, err
	})
}

// again asks one by one for those of sockets[from:to] whose answers were lost.
func (d *destroyer) again(from, to int) error {
	for i := from; i < to; i++ {
		if d.answers[i] != errUnanswered {
			continue
		}
		if err := d.batch(i, i+1); err != nil {
			return err
		}
		if d.answers[i] == errGone {
			d.answers[i] = nil // it was the first request that ended it
		}
	}
	return nil
}

// explain finds out what it means that the kernel does not support a request.
func (d *destroyer) explain() {
	var unsupported []int
	for i, answer := range d.answers {
		if errors.Is(answer, unix.EOPNOTSUPP) || errors.Is(answer, unix.EINVAL) {
			unsupported = append(unsupported, i)
		}
	}
	if len(unsupported) == 0 {
		return
	}
	none := supported(d.ask)
	for _, i := range unsupported {
		s := &d.sockets[i]
		switch {
		case none != nil:
			d.answers[i] = none
		case errors.Is(d.answers[i], unix.EOPNOTSUPP) && (s.State == TimeWait || s.State == FinWait2 && s.Inode == 0):
			d.answers[i] = ErrTimeWait
		}
	}
}

// supported asks for a socket that cannot exist, with port 0. A kernel that destroys sockets does not find it.
func supported(ask exchange) error {
	nobody := Socket{Cookie: 1}
	answer := errUnanswered
	err := ask(appendDestroy(nil, &nobody, noSocket), func(datagram []byte) (last bool, err error) {
		err = eachAnswer(datagram, func(sequence uint32, errno unix.Errno) {
			if sequence != noSocket {
				return
			}
			answer = nil
			if errno == unix.EOPNOTSUPP || errno == unix.EINVAL { // the latter before Linux 4.5
				answer = ErrNotSupported
			}
		})
		return answer != errUnanswered, err
	})
	if err != nil {
		return fmt.Errorf("sockdiag: netlink: %w", err)
	}
	return answer
}

// noSocket is the sequence number of the request of supported.
const noSocket = ^uint32(0)

// appendDestroy appends the request to destroy s: a struct inet_diag_req_v2 that names the socket by all that it is found by.
func appendDestroy(b []byte, s *Socket, sequence uint32) []byte {
	ne := binary.NativeEndian
	b = ne.AppendUint32(b, sizeofDestroy)
	b = ne.AppendUint16(b, unix.SOCK_DESTROY)
	b = ne.AppendUint16(b, unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	b = ne.AppendUint32(b, sequence)
	b = ne.AppendUint32(b, 0)

	start := len(b)
	b = append(b, make([]byte, sizeofRequestV2)...)
	r := b[start:]
	// The kernel finds an IPv4 connection of a dual-stack socket by its IPv4 addresses.
	local, remote := s.Local.Addr(), s.Remote.Addr()
	r[0], r[1] = unix.AF_INET, unix.IPPROTO_TCP
	if local.Is6() && !local.Is4In6() {
		r[0] = unix.AF_INET6
	}
	id := r[offsetReqV2ID:]
	address := func(offset int, ip netip.Addr) {
		if ip.IsValid() {
			copy(id[offset-offsetLocalPort:], ip.Unmap().AsSlice())
		}
	}
	binary.BigEndian.PutUint16(id, s.Local.Port())
	binary.BigEndian.PutUint16(id[offsetPeerPort-offsetLocalPort:], s.Remote.Port())
	address(offsetLocal, local)
	address(offsetPeer, remote)
	ne.PutUint32(id[offsetInterface-offsetLocalPort:], s.Interface)
	ne.PutUint32(id[offsetCookie-offsetLocalPort:], uint32(s.Cookie))
	ne.PutUint32(id[offsetCookie+4-offsetLocalPort:], uint32(s.Cookie>>32))
	return b
}

// eachAnswer calls f for each answer of a datagram: a struct nlmsgerr whose errno is 0 for success.
func eachAnswer(datagram []byte, f func(sequence uint32, errno unix.Errno)) error {
	ne := binary.NativeEndian
	for len(datagram) > 0 {
		kind, _, sequence, body, rest, err := nextMessage(datagram)
		if err != nil {
			return err
		}
		datagram = rest
		if kind != unix.NLMSG_ERROR {
			continue
		}
		if len(body) < 4 {
			return errTruncated
		}
		f(sequence, unix.Errno(-int32(ne.Uint32(body))))
	}
	return nil
}
