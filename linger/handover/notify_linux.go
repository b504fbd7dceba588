//go:build linux

package handover

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Notify sends state to systemd, as sd_notify(3) does: lines such as STATUS=..., STOPPING=1 or EXTEND_TIMEOUT_USEC=.... It does nothing
// where NOTIFY_SOCKET is not set. READY, RELOADING and MAINPID are sent by the Handover. The unit takes it from its main process, or with
// NotifyAccess=all from others too. The error says that the socket could not be written to. Any goroutine may call it.
func Notify(state string) error {
	_, err := daemon.SdNotify(false, state)
	return err
}

// reloading is what a unit is told before it is said to be ready anew. Type=notify-reload wants to know when.
func reloading() string {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	return fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", now.Nano()/1e3)
}
