package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"

	"rstserver/linger/sockdiag"
)

// checkAddr refuses what is no address at all.
func checkAddr(addr string) error {
	if strings.HasPrefix(addr, "fd:") {
		return nil // what systemd has passed by that name
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		var a *net.AddrError
		if errors.As(err, &a) {
			err = errors.New(a.Err) // the address is named once
		}
		return fmt.Errorf("--addr=%s: %w; write HOST:PORT, for example 127.0.0.1:8080, [::1]:8080 or :8080", addr, err)
	}
	// What has the form of an address is no name, so there is no point in looking it up.
	if host != "" && (strings.Contains(host, ":") || strings.Trim(host, "0123456789.") == "") {
		if _, err := netip.ParseAddr(host); err != nil {
			return fmt.Errorf("--addr=%s: %s is no IP address; write HOST:PORT, for example 127.0.0.1:8080, [::1]:8080 or :8080",
				addr, host)
		}
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("--addr=%s: the port has to be a number from 0 to 65535", addr)
	}
	return nil
}

// explainListen says what can be done about a port that cannot be listened on.
func explainListen(addr string, err error) error {
	var dns *net.DNSError
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("cannot listen on %s: the port is taken %s, or choose another port with --addr (%w); to see what is on it and free it: %s",
			addr, takenBy(err), err, freeCommandFor(err))
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("cannot listen on %s: no right to a port this low: choose one from 1024 with --addr, or give the "+
			"program CAP_NET_BIND_SERVICE (%w)", addr, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("cannot listen on %s: this machine does not have that address: 'ip address' lists those that it "+
			"has, and an empty host means all of them (%w)", addr, err)
	case errors.As(err, &dns):
		return fmt.Errorf("cannot listen on %s: the host's address cannot be found: give the address itself (%w)", addr, err)
	}
	return fmt.Errorf("cannot listen on %s: %w", addr, err)
}

// freeCommandFor is the command that is about the port that a bind failed with err for.
func freeCommandFor(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		if tcp, ok := op.Addr.(*net.TCPAddr); ok {
			return fmt.Sprintf("%s free %d", self, tcp.Port)
		}
	}
	return self + " free PORT"
}

// takenBy names, where that can be seen, who has the port that a bind failed with err for, and what to do about it.
func takenBy(err error) string {
	const unseen = "by a process that cannot be seen from here: stop that"
	var op *net.OpError
	if !errors.As(err, &op) {
		return unseen
	}
	tcp, ok := op.Addr.(*net.TCPAddr)
	if !ok {
		return unseen
	}
	addr := tcp.AddrPort()
	var names []string
	holders, _, _ := sockdiag.Holders(addr.Port())
	for _, h := range holders {
		if h.Socket.Blocks(addr.Addr()) {
			names = append(names, h.String())
		}
	}
	if len(names) > 0 {
		return "by " + strings.Join(names, ", ") + ": stop that"
	}
	var rest sockdiag.Counts
	_, _ = sockdiag.Each(addr.Port(), func(s *sockdiag.Socket) bool {
		if s.Blocks(addr.Addr()) {
			rest[s.State]++
		}
		return true
	})
	if rest.Total() > 0 && rest[sockdiag.Listen] == 0 && rest[sockdiag.Close] == 0 {
		return fmt.Sprintf("by connections that nobody listens for any more (%s): wait, for 60 s at the most where they are "+
			"in TIME_WAIT", rest)
	}
	return unseen
}
