//go:build linux

package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"rstserver/internal/wsframe"
)

// message is what goes to all of a room.
var message = strings.Repeat("m", 116)

// speaker is one WebSocket of a room. What comes to it is thrown away by a goroutine of its own, which Close waits for.
type speaker struct {
	net.Conn
	done chan struct{}
}

// join opens one.
func join(addr netip.AddrPort) (*speaker, error) {
	c, err := net.DialTimeout("tcp", addr.String(), 10*time.Second)
	if err != nil {
		return nil, err
	}
	_ = c.(*net.TCPConn).SetLinger(0) // it is not to leave TIME_WAIT
	request := "GET " + room + " HTTP/1.1\r\nHost: " + addr.String() + "\r\n" + strings.Join(wsframe.HandshakeFields, "\r\n") + "\r\n\r\n"
	r := bufio.NewReader(c)
	if _, err = io.WriteString(c, request); err == nil {
		var a *http.Response
		if a, err = http.ReadResponse(r, nil); err == nil && a.StatusCode != http.StatusSwitchingProtocols {
			err = fmt.Errorf("the answer to the upgrade is %s, not 101", a.Status)
		}
	}
	if err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("joining the room: %w", err)
	}
	s := &speaker{c, make(chan struct{})}
	go func() {
		defer close(s.done)
		_, _ = io.Copy(io.Discard, r)
	}()
	return s, nil
}

func (s *speaker) Close() error {
	err := s.Conn.Close()
	<-s.done
	return err
}
