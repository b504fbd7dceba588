//go:build linux

package sockdiag

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Numbers of include/uapi/linux/inet_diag.h that golang.org/x/sys/unix lacks.
const (
	tcpdiagGetsock     = 18 // TCPDIAG_GETSOCK
	reqBytecode        = 1  // INET_DIAG_REQ_BYTECODE
	bytecodeSourceGE   = 2  // INET_DIAG_BC_S_GE
	bytecodeSourceLE   = 3  // INET_DIAG_BC_S_LE
	attrOnlyIPv6       = 11 // INET_DIAG_SKV6ONLY
	sizeofRequest      = 60 // struct inet_diag_req
	offsetReqExtension = 3  // idiag_ext
	offsetReqStates    = 52 // idiag_states
	sizeofBytecodeOp   = 4  // struct inet_diag_bc_op
	sizeofBytecode     = 4 * sizeofBytecodeOp
	sizeofAttrHeader   = unix.SizeofNlAttr
	sizeofBytecodeAttr = sizeofAttrHeader + sizeofBytecode
)

// Where the fields of struct inet_diag_msg are. The two ports are in network byte order, the addresses too.
const (
	offsetFamily    = 0
	offsetState     = 1
	offsetLocalPort = 4
	offsetPeerPort  = 6
	offsetLocal     = 8
	offsetPeer      = 24
	offsetInterface = 40
	offsetCookie    = 44 // two words, the lower first
	offsetRecvQueue = 56
	offsetSendQueue = 60
	offsetUID       = 64
	offsetInode     = 68
	sizeofMessage   = 72
)

// netlink calls f with each inet_diag_msg of the ports, until f returns false; extensions are the attributes wanted behind it.
// Its errors begin with "netlink".
func (sys system) netlink(of ports, extensions uint8, f func(b []byte) bool) error {
	err := sys.dump(request(of, extensions), func(datagram []byte, sequence uint32) (last bool, err error) {
		return parse(datagram, sequence, of, f)
	})
	if err != nil {
		return fmt.Errorf("netlink: %w", err)
	}
	return nil
}

// request asks for the sockets from the first to the last of the ports: a struct inet_diag_req and the bytecode that the kernel
// runs on each socket of the host.
//
// It is the older of two requests. The newer, SOCK_DIAG_BY_FAMILY with struct inet_diag_req_v2, takes one address
// family only, and walking the kernel's hash tables is what a dump of a few sockets costs: 0.3 to 1.2 ms for each
// family on a host with 262,144 buckets. The older takes AF_UNSPEC, so one walk finds both, and there is nothing to
// fail where IPv6 is off. Every Linux since 2.6.14 answers it; ss uses it likewise.
func request(of ports, extensions uint8) []byte {
	ne := binary.NativeEndian
	b := make([]byte, sizeofRequest, sizeofRequest+sizeofBytecodeAttr)
	b[0] = unix.AF_UNSPEC
	b[offsetReqExtension] = extensions
	// All states. The one beyond our table, 13, stands for sockets that are only bound.
	ne.PutUint32(b[offsetReqStates:], ^uint32(0))

	// port >= first and port <= last; INET_DIAG_BC_S_EQ, for one port, came with Linux 5.6. Each condition is two
	// ops, the second of which carries the port; yes and no are the distances to go on from, and a
	// distance of four past the end refuses the socket.
	b = ne.AppendUint16(b, sizeofBytecodeAttr)
	b = ne.AppendUint16(b, reqBytecode)
	op := func(code, yes byte, no uint16) {
		b = ne.AppendUint16(append(b, code, yes), no)
	}
	op(bytecodeSourceGE, 2*sizeofBytecodeOp, sizeofBytecode+4)
	op(0, 0, of[0])
	op(bytecodeSourceLE, 2*sizeofBytecodeOp, sizeofBytecode/2+4)
	op(0, 0, of[len(of)-1])
	return b
}

var errTruncated = errors.New("answer cut off")

// parse goes through one datagram of the answer to request number sequence and calls f for each inet_diag_msg
// of the ports. last is true after the end of the dump, and when f returned false.
func parse(datagram []byte, sequence uint32, of ports, f func(b []byte) bool) (last bool, err error) {
	ne := binary.NativeEndian
	for len(datagram) > 0 {
		kind, flags, answered, body, rest, err := nextMessage(datagram)
		if err != nil {
			return false, err
		}
		datagram = rest
		if answered != sequence {
			continue
		}
		if flags&unix.NLM_F_DUMP_INTR != 0 {
			return false, ErrInterrupted
		}
		switch kind {
		case tcpdiagGetsock:
			if len(body) < sizeofMessage {
				return false, errTruncated
			}
			if !of.have(binary.BigEndian.Uint16(body[offsetLocalPort:])) {
				continue
			}
			if !f(body) {
				return true, nil
			}
		case unix.NLMSG_DONE, unix.NLMSG_ERROR:
			// Both begin with a negative errno, or 0: a dump that fails on its way says so in its DONE.
			if len(body) < 4 {
				return false, errTruncated
			}
			if errno := int32(ne.Uint32(body)); errno != 0 {
				return false, unix.Errno(-errno)
			}
			if kind == unix.NLMSG_DONE {
				return true, nil
			}
		}
	}
	return false, nil
}

// nextMessage takes the first message of a datagram apart; rest is what comes after it.
func nextMessage(datagram []byte) (kind, flags uint16, sequence uint32, body, rest []byte, err error) {
	ne := binary.NativeEndian
	if len(datagram) < unix.SizeofNlMsghdr {
		return 0, 0, 0, nil, nil, errTruncated
	}
	length := uint64(ne.Uint32(datagram))
	if length < unix.SizeofNlMsghdr || length > uint64(len(datagram)) {
		return 0, 0, 0, nil, nil, errTruncated
	}
	body = datagram[unix.SizeofNlMsghdr:length]
	rest = datagram[min((length+unix.NLMSG_ALIGNTO-1)&^(unix.NLMSG_ALIGNTO-1), uint64(len(datagram))):]
	return ne.Uint16(datagram[4:]), ne.Uint16(datagram[6:]), ne.Uint32(datagram[8:]), body, rest, nil
}

// decode turns an inet_diag_msg, of at least sizeofMessage bytes, into a Socket.
func decode(b []byte) Socket {
	ne := binary.NativeEndian
	address := func(offset int) netip.Addr {
		if b[offsetFamily] == unix.AF_INET {
			return netip.AddrFrom4([4]byte(b[offset:]))
		}
		return netip.AddrFrom16([16]byte(b[offset:])).Unmap()
	}
	s := Socket{
		Local:     netip.AddrPortFrom(address(offsetLocal), binary.BigEndian.Uint16(b[offsetLocalPort:])),
		Remote:    netip.AddrPortFrom(address(offsetPeer), binary.BigEndian.Uint16(b[offsetPeerPort:])),
		State:     State(b[offsetState]),
		Inode:     ne.Uint32(b[offsetInode:]),
		Cookie:    uint64(ne.Uint32(b[offsetCookie:])) | uint64(ne.Uint32(b[offsetCookie+4:]))<<32,
		UID:       ne.Uint32(b[offsetUID:]),
		RecvQueue: ne.Uint32(b[offsetRecvQueue:]),
		SendQueue: ne.Uint32(b[offsetSendQueue:]),
		Interface: ne.Uint32(b[offsetInterface:]),
	}
	if s.HoldsPort() && b[offsetFamily] == unix.AF_INET6 {
		value := attribute(b, attrOnlyIPv6)
		s.OnlyIPv6 = len(value) > 0 && value[0] != 0
	}
	return s
}

// attribute returns the value of the first attribute of that kind behind an inet_diag_msg, nil where there is none.
func attribute(b []byte, kind uint16) []byte {
	ne := binary.NativeEndian
	for attributes := b[sizeofMessage:]; len(attributes) >= sizeofAttrHeader; {
		length := int(ne.Uint16(attributes))
		if length < sizeofAttrHeader || length > len(attributes) {
			break
		}
		if ne.Uint16(attributes[2:]) == kind {
			return attributes[sizeofAttrHeader:length]
		}
		attributes = attributes[min((length+unix.NLA_ALIGNTO-1)&^(unix.NLA_ALIGNTO-1), len(attributes)):]
	}
	return nil
}

// dumpNetlink is system.dump on the real kernel.
func dumpNetlink(request []byte, f func(datagram []byte, sequence uint32) (last bool, err error)) error {
	ch, err := dial()
	if err != nil {
		return err
	}
	defer ch.close()
	sent, err := ch.conn.Send(netlink.Message{
		Header: netlink.Header{Type: tcpdiagGetsock, Flags: netlink.Request | netlink.Dump},
		Data:   request,
	})
	if err != nil {
		return err
	}
	return ch.receive(func(datagram []byte) (last bool, err error) { return f(datagram, sent.Header.Sequence) })
}
