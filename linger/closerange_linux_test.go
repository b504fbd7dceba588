//go:build linux

package linger

import (
	"testing"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
)

// Of what was reset, that alone is closed which is asked for, and what is in order is left alone.
func TestCloseAborted(t *testing.T) {
	var table Table
	const owner = 3
	is := map[string]struct {
		activity      Activity
		aborts, in    bool
		closes, stays bool
	}{
		"idle":         {Idle, true, true, true, false},
		"idle again":   {Idle, true, true, true, false},
		"handled":      {Handling, true, true, false, true},
		"not reset":    {Idle, false, true, false, true},
		"not in table": {Idle, false, false, false, false},
	}
	fds := make(map[string]int)
	for name, s := range is {
		var err error
		fds[name], err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		lingertest.Must(t, err)
		if !s.in {
			continue
		}
		lingertest.Must(t, table.Open(fds[name], owner))
		table.SetActivity(fds[name], s.activity)
		if s.aborts {
			_, err := table.Abort(fds[name])
			lingertest.Must(t, err)
		}
	}
	table.CloseAborted(0, table.Len(), func(a Activity) bool { return a == Idle })
	for name, s := range is {
		_, err := unix.FcntlInt(uintptr(fds[name]), unix.F_GETFD, 0)
		if closed := err == unix.EBADF; closed != s.closes {
			t.Errorf("%s: closed is %v", name, closed)
		}
		if err == nil {
			lingertest.Must(t, unix.Close(fds[name]))
		}
		if table.Has(fds[name]) != s.stays {
			t.Errorf("%s: it is in the table: %v", name, !s.stays)
		}
	}
}
