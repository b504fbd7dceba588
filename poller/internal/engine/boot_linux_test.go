//go:build linux

package engine

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// An epoll of somebody else's can list a number under which it knew another file.
func TestForeignEpollListsTheNumber(t *testing.T) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(ep)
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	if err := control(ep, unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN); err != nil {
		t.Fatal(err)
	}
	fdinfo := fmt.Sprintf("/proc/self/fdinfo/%d", ep)
	if found, err := watches(fdinfo, fd); !found || err != nil {
		t.Errorf("watches() = %v, %v for what the epoll watches", found, err)
	}
	dup, err := unix.Dup(fd) // keeps the entry alive
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(dup)
	other, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Dup3(other, fd, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	defer unix.Close(other)
	if found, err := watches(fdinfo, fd); found || err != nil {
		t.Errorf("watches() = %v, %v for another file under the same number", found, err)
	}
}
