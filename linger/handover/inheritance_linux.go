//go:build linux

package handover

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/coreos/go-systemd/v22/activation"
)

// inheritanceEnv is what a predecessor tells its successor: an inheritance.
const inheritanceEnv = "LINGER_HANDOVER"

// inheritance says what the descriptors of a successor are. The sockets come first, in the way of sd_listen_fds(3); so there is one way to
// take over those of systemd and those of a predecessor.
type inheritance struct {
	// Asked is what the predecessor's Listen was asked for, by socket.
	Asked []string `json:"asked"`
	// Channel is a descriptor: a stream socket to the predecessor.
	Channel int `json:"channel"`
	// Before are those of the predecessor to its own, and so on. That they are open is all that they say: somebody serves.
	Before []int `json:"before,omitempty"`
}

// last is the last of the descriptors.
func (in *inheritance) last() int { return in.Channel + len(in.Before) }

// giveReason tells the predecessor why this process will not be ready.
func (in *inheritance) giveReason(err error) {
	_, _ = unix.Write(in.Channel, []byte(message{reason, err.Error()}.String()))
}

// readInheritance returns nil if there is none.
func readInheritance() (*inheritance, error) {
	v := os.Getenv(inheritanceEnv)
	if v == "" {
		return nil, nil
	}
	var in inheritance
	if err := json.Unmarshal([]byte(v), &in); err != nil {
		return nil, fmt.Errorf("%s=%s: %w", inheritanceEnv, v, err)
	}
	if _, err := unix.FcntlInt(uintptr(in.Channel), unix.F_GETFD, 0); err != nil {
		return nil, fmt.Errorf("%s=%s: descriptor %d: %w", inheritanceEnv, v, in.Channel, err)
	}
	return &in, nil
}

// environment is that of a successor, from that of this process. LISTEN_PID is filled in when it is known.
func (in *inheritance) environment(env, names []string, path string) ([]string, error) {
	told, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	var own []string
	for _, v := range env {
		switch name, _, _ := strings.Cut(v, "="); name {
		case "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", inheritanceEnv, parentEnv, execEnv:
		default:
			own = append(own, v)
		}
	}
	own = append(own, inheritanceEnv+"="+string(told), parentEnv+"="+path)
	if len(names) > 0 {
		own = append(own, "LISTEN_PID=", fmt.Sprintf("LISTEN_FDS=%d", len(names)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
	}
	return own, nil
}

// takeInheritance returns the sockets that this process was given, and the descriptor of the channel to its predecessor, or -1. What it was
// told in its environment is removed from that, so that programs that it starts do not take it for theirs.
func takeInheritance() (sockets []*socket, channel int, before []int, err error) {
	in, err := readInheritance()
	if err != nil {
		return nil, -1, nil, fmt.Errorf("handover: %w", err)
	}
	files := activation.Files(true)
	_ = os.Unsetenv(inheritanceEnv)
	channel = -1
	if in != nil {
		for fd := in.Channel; fd <= in.last(); fd++ {
			unix.CloseOnExec(fd)
		}
		channel, before = in.Channel, in.Before
	}
	for i, f := range files {
		s, e := newSocket(f)
		if e != nil {
			err = errors.Join(err, fmt.Errorf("handover: descriptor %s that was passed: %w", f.Name(), e))
			continue
		}
		s.passed = true
		if in != nil && i < len(in.Asked) {
			s.asked, s.passed = in.Asked[i], false
		}
		sockets = append(sockets, s)
	}
	return sockets, channel, before, err
}
