package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"

	"rstserver/linger/sockdiag"
)

// checkAddr refuses what is no address at all.
func checkAddr(addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("--addr=%s: %w; write HOST:PORT, for example 127.0.0.1:8080, [::1]:8080 or :8080", addr, err)
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
		return fmt.Errorf("cannot listen on %s: the port is taken%s: stop that, or choose another port with --addr (%w)",
			addr, takenBy(addr), err)
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

// takenBy names the processes that listen on addr's port, where that can be seen.
func takenBy(addr string) string {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return ""
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return ""
	}
	holders, _, err := sockdiag.Holders(uint16(n))
	if err != nil || len(holders) == 0 {
		return " by a process that cannot be seen from here"
	}
	names := make([]string, len(holders))
	for i, h := range holders {
		names[i] = h.String()
	}
	return " by " + strings.Join(names, ", ")
}
