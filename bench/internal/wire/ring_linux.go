//go:build linux

package wire

import (
	"os"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ring is memory that the kernel writes packets into, shared with a packet socket (Documentation/networking/packet_mmap.rst):
//
//	block of 64 KiB                              block …
//	frame     frame     …  409 of them  unused   frame …
//	tpacket2_hdr  sockaddr_ll  the packet's first bytes
//
// Each frame is written to once, as the kernel drops what comes when it finds the next one not read.
type ring []byte

const (
	blockSize = 1 << 16 // of whole pages, whatever their size
	frameSize = 160     // for the kernel's 80 bytes and snapLength, in units of 16 bytes
	perBlock  = blockSize / frameSize
)

// newRing gives a packet socket a ring with so many frames at least.
func newRing(fd, frames int) (ring, error) {
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V2); err != nil {
		return nil, os.NewSyscallError("setsockopt PACKET_VERSION", err)
	}
	blocks := max(1, (frames+perBlock-1)/perBlock)
	req := unix.TpacketReq{Block_size: blockSize, Block_nr: uint32(blocks), Frame_size: frameSize, Frame_nr: uint32(blocks * perBlock)}
	if err := unix.SetsockoptTpacketReq(fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &req); err != nil {
		return nil, os.NewSyscallError("setsockopt PACKET_RX_RING", err)
	}
	r, err := unix.Mmap(fd, 0, blocks*blockSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	return r, os.NewSyscallError("mmap PACKET_RX_RING", err)
}

// frame is what is in the i-th frame, of which the kernel has said that it has taken it: the time since 1970, and the packet from its IP
// header on. It may be about to be written to on another processor.
func (r ring) frame(i int) (stamp time.Duration, packet []byte) {
	at := i/perBlock*blockSize + i%perBlock*frameSize
	b := r[at : at+frameSize]
	head := (*unix.Tpacket2Hdr)(unsafe.Pointer(&b[0]))
	for atomic.LoadUint32(&head.Status)&unix.TP_STATUS_USER == 0 {
		runtime.Gosched()
	}
	stamp = time.Duration(head.Sec)*time.Second + time.Duration(head.Nsec)
	return stamp, b[head.Net : uint32(head.Net)+head.Snaplen]
}

func (r *ring) unmap() {
	if *r != nil {
		_ = unix.Munmap(*r)
	}
	*r = nil
}
