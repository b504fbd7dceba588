//go:build linux

package linger

import (
	"fmt"
	"syscall"
)

// reach returns the way to the descriptor of c, which is a listener or a connection.
func reach(c any) (syscall.RawConn, error) {
	if sc, ok := c.(syscall.Conn); ok {
		return sc.SyscallConn()
	}
	return nil, fmt.Errorf("a %T has no SyscallConn", c)
}
