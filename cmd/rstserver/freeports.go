package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"rstserver/internal/prose"
	"rstserver/linger/sockdiag"
)

// maxPorts bounds one call: each port is bound, and looked for in every network namespace. The number is a guess at what is asked for on
// purpose.
const maxPorts = 256

// target is ports that are to be free, at some addresses or at all.
type target struct {
	low, high uint16
	local     []netip.Prefix // empty: all
}

const portUsage = "it has to be a number from 1 to 65535, a range such as 8080-8089, or an address with one, such as :8080, 127.0.0.1:8080 or localhost:8080"

// parseTarget takes 8080, 8080-8089, and either behind an address or a name of this machine, as it stands in logs and browsers.
func parseTarget(text string) (target, error) {
	bad := func() (target, error) { return target{}, usage("port %q: %s", text, portUsage) }
	rest := text
	for _, scheme := range []string{"http://", "https://", "tcp://"} {
		if after, found := strings.CutPrefix(rest, scheme); found {
			rest, _, _ = strings.Cut(after, "/")
		}
	}
	host, ports := "", rest
	if i := strings.LastIndexByte(rest, ':'); i >= 0 {
		host, ports = rest[:i], rest[i+1:]
		if strings.Contains(host, ":") && !strings.HasPrefix(host, "[") {
			return bad() // an IPv6 address without brackets may end in anything
		}
	}
	low, high, isRange := strings.Cut(ports, "-")
	if !isRange {
		high = low
	}
	from, err1 := strconv.ParseUint(low, 10, 16)
	to, err2 := strconv.ParseUint(high, 10, 16)
	if err1 != nil || err2 != nil || from == 0 || to < from {
		return bad()
	}
	t := target{low: uint16(from), high: uint16(to)}
	var err error
	t.local, err = localAddresses(text, strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	return t, err
}

// localAddresses are those of a host, all of them for none and for *.
func localAddresses(text, host string) ([]netip.Prefix, error) {
	if host == "" || host == "*" {
		return nil, nil
	}
	addresses := []netip.Addr{}
	if ip, err := netip.ParseAddr(host); err == nil {
		addresses = append(addresses, ip)
	} else {
		const patience = 5 * time.Second
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if addresses, err = net.DefaultResolver.LookupNetIP(ctx, "ip", host); err != nil {
			return nil, usage("port %q: the host's address cannot be found: give the address itself, or the port alone (%w)", text, err)
		}
	}
	own, _ := net.InterfaceAddrs()
	var local []netip.Prefix
	for _, ip := range addresses {
		ip = ip.Unmap()
		if !ip.IsUnspecified() && !ip.IsLoopback() && !slices.ContainsFunc(own, func(a net.Addr) bool {
			n, ok := a.(*net.IPNet)
			return ok && n.IP.Equal(ip.WithZone("").AsSlice())
		}) {
			return nil, usage("port %q: %s is no address of this machine, and ports of others cannot be freed from here: 'ip address' lists those "+
				"that it has", text, ip)
		}
		n, err := sockdiag.ParseNetwork(ip.String())
		if err != nil {
			return nil, usage("port %q: %w", text, err)
		}
		local = append(local, n)
	}
	return local, nil
}

// parseTargets takes the arguments of the command. A port that is there twice is freed once, at the addresses of both.
func parseTargets(args []string) ([]target, error) {
	var single []target
	for _, arg := range args {
		t, err := parseTarget(arg)
		if err != nil {
			return nil, err
		}
		if n := len(single) + int(t.high) - int(t.low) + 1; n > maxPorts {
			return nil, usage("port %q: that is %s ports, and at most %d can be given at a time: give the rest in another call", arg, prose.Grouped(n), maxPorts)
		}
		for port := int(t.low); port <= int(t.high); port++ {
			i := slices.IndexFunc(single, func(other target) bool { return int(other.low) == port })
			switch {
			case i < 0:
				single = append(single, target{uint16(port), uint16(port), t.local})
			case len(t.local) == 0 || len(single[i].local) == 0:
				single[i].local = nil
			default:
				single[i].local = append(slices.Clip(single[i].local), t.local...)
			}
		}
	}
	return single, nil
}

// rangesOf writes ports as one gives them: "3000, 8080-8089".
func rangesOf(ports []uint16) string {
	ports = slices.Sorted(slices.Values(ports))
	var parts []string
	for i := 0; i < len(ports); {
		end := i
		for end+1 < len(ports) && ports[end+1] == ports[end]+1 {
			end++
		}
		part := strconv.Itoa(int(ports[i]))
		if end > i {
			part = fmt.Sprintf("%d-%d", ports[i], ports[end])
		}
		parts = append(parts, part)
		i = end + 1
	}
	return strings.Join(parts, ", ")
}
