package httpcodec

import "bytes"

// splitHostPort checks uri-host [ ":" port ] (RFC 9110 4.2.1, RFC 3986 3.2.2 and 3.2.3) and returns the length of the
// host and the number of the port, 0 when there is none. Neither a port above 65535 nor one without a host is ok.
func splitHostPort(b []byte) (host, port int, ok bool) {
	if len(b) > 0 && b[0] == '[' {
		end := bytes.IndexByte(b, ']')
		if end < 0 || !isIPLiteral(b[1:end]) {
			return 0, 0, false
		}
		host = end + 1
	} else {
		for host < len(b) && b[host] != ':' {
			if class[b[host]]&isRegName != 0 {
				host++
			} else if isPctEncoded(b[host:]) {
				host += 3
			} else {
				return 0, 0, false
			}
		}
	}
	if host == len(b) {
		return host, 0, true
	}
	if host == 0 || b[host] != ':' {
		return 0, 0, false
	}
	for _, c := range b[host+1:] {
		if class[c]&isDigit == 0 {
			return 0, 0, false
		}
		if port = port*10 + int(c-'0'); port > 65535 {
			return 0, 0, false
		}
	}
	return host, port, true
}

// isIPLiteral reports whether b, the inside of the brackets, is an IPv6address or an IPvFuture (RFC 3986 3.2.2). Zone
// identifiers are not part of either (RFC 9844).
func isIPLiteral(b []byte) bool {
	if len(b) > 0 && b[0]|0x20 == 'v' {
		version, address, found := bytes.Cut(b[1:], []byte{'.'})
		if !found || len(version) == 0 || len(address) == 0 || !all(version, isHex) {
			return false
		}
		for _, c := range address {
			if class[c]&isRegName == 0 && c != ':' {
				return false
			}
		}
		return true
	}
	return isIPv6(b)
}

// isIPv6 reports whether b is an IPv6address: eight groups of one to four hexadecimal digits, the last two possibly as
// IPv4address, and "::" at most once in place of one group or more.
func isIPv6(b []byte) bool {
	groups, elided := 0, false
	if len(b) >= 2 && b[0] == ':' && b[1] == ':' {
		elided = true
		b = b[2:]
	}
	for len(b) > 0 || !elided || groups > 0 {
		n := 0
		for n < len(b) && class[b[n]]&isHex != 0 {
			n++
		}
		if n < len(b) && b[n] == '.' {
			if !isIPv4(b) {
				return false
			}
			groups += 2
			break
		}
		if n == 0 || n > 4 {
			return false
		}
		groups++
		if b = b[n:]; len(b) == 0 {
			break
		}
		if b[0] != ':' {
			return false
		}
		if b = b[1:]; len(b) > 0 && b[0] == ':' {
			if elided {
				return false
			}
			elided = true
			if b = b[1:]; len(b) == 0 {
				break
			}
		}
	}
	if elided {
		return groups < 8
	}
	return groups == 8
}

// isIPv4 reports whether b is an IPv4address: four numbers up to 255 without leading zeros.
func isIPv4(b []byte) bool {
	for octets := 1; ; octets++ {
		n, v := 0, 0
		for n < len(b) && n < 4 && class[b[n]]&isDigit != 0 {
			v = v*10 + int(b[n]-'0')
			n++
		}
		if n == 0 || v > 255 || n > 1 && b[0] == '0' {
			return false
		}
		if b = b[n:]; octets == 4 || len(b) == 0 {
			return octets == 4 && len(b) == 0
		}
		if b[0] != '.' {
			return false
		}
		b = b[1:]
	}
}
