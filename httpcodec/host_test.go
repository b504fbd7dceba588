package httpcodec_test

import (
	"net/netip"
	"strings"
	"testing"

	"rstserver/httpcodec"
)

func TestSplitHostPort(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   string
		host int
		port int
		bad  bool
	}{
		{name: "empty", in: ""},
		{name: "name", in: "www.example.com", host: 15},
		{name: "port", in: "a:8080", host: 1, port: 8080},
		{name: "empty port", in: "a:", host: 1},
		{name: "largest port", in: "a:65535", host: 1, port: 65535},
		{name: "port with zeros", in: "a:000000000080", host: 1, port: 80},
		{name: "port too large", in: "a:65536", bad: true},
		{name: "port far too large", in: "a:99999999999999999999999", bad: true},
		{name: "port with sign", in: "a:+80", bad: true},
		{name: "port with letter", in: "a:80x", bad: true},
		{name: "two ports", in: "a:80:80", bad: true},
		{name: "port alone", in: ":80", bad: true},
		{name: "colon alone", in: ":", bad: true},
		{name: "every character", in: "azAZ09-._~!$&'()*+,;=%4a%Ff", host: 27},
		{name: "percent without digits", in: "a%", bad: true},
		{name: "percent without hex", in: "a%4x", bad: true},
		{name: "slash", in: "a/b", bad: true},
		{name: "at", in: "a@b", bad: true},
		{name: "obs-text", in: "\xc3\xa4", bad: true},
		{name: "tab", in: "a\tb", bad: true},
		{name: "IPv4", in: "127.0.0.1:80", host: 9, port: 80},
		{name: "not IPv4 but a name", in: "999.1.1.1", host: 9},
		{name: "IPv6", in: "[2001:db8::7]:80", host: 13, port: 80},
		{name: "IPv6 without port", in: "[::]", host: 4},
		{name: "IPv6 without brackets", in: "2001:db8::7", bad: true},
		{name: "IPv6 not closed", in: "[::1", bad: true},
		{name: "IPv6 with more behind", in: "[::1]a", bad: true},
		{name: "IPv6 with zone", in: "[fe80::1%25eth0]", bad: true},
		{name: "IPv6 empty", in: "[]", bad: true},
		{name: "IPv4 in brackets", in: "[127.0.0.1]", bad: true},
		{name: "IPvFuture", in: "[v1F.a:b~!]:1", host: 11, port: 1},
		{name: "IPvFuture upper case", in: "[V1.a]", host: 6},
		{name: "IPvFuture without version", in: "[v.a]", bad: true},
		{name: "IPvFuture without address", in: "[v1.]", bad: true},
		{name: "IPvFuture without dot", in: "[v1]", bad: true},
		{name: "IPvFuture with bad version", in: "[vg.a]", bad: true},
		{name: "IPvFuture with bad address", in: "[v1.a/b]", bad: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			host, port, ok := httpcodec.SplitHostPort([]byte(tt.in))
			if host != tt.host || port != tt.port || ok == tt.bad {
				t.Errorf("splitHostPort(%q) = %d, %d, %v, want %d, %d, %v", tt.in, host, port, ok, tt.host, tt.port, !tt.bad)
			}
		})
	}
}

var ipv6Seeds = []string{
	"::", "::1", "1::", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1::3:4:5:6:7:8", "2001:DB8::ffff",
	"::ffff:1.2.3.4", "1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6::1.2.3.4", "::1.2.3.4", "64:ff9b::0.0.0.0",
	"", ":", ":::", "1", "1:", ":1", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:", "1:2:3:4:5:6:7:8:9", "1::2::3", "1:::2", "12345::",
	"::g", "1:2:3:4:5:6:7::8", "::2:3:4:5:6:7:8:9", "1.2.3.4", "::1.2.3", "::1.2x3.4", "::1.2.3.4.5", "::1.2.3.256", "::01.2.3.4",
	"::1.2.3.4:5", "1:2:3:4:5:6:7:1.2.3.4", "::1.2..4", "::.1.2.3", "::1.2.3.", "::1.2.3.0004", "fe80::1%eth0", "::a.2.3.4",
}

// TestIsIPv6 has net/netip as oracle, which knows zones besides.
func TestIsIPv6(t *testing.T) {
	for _, in := range ipv6Seeds {
		if got, want := httpcodec.IsIPv6([]byte(in)), netipIsIPv6(in); got != want {
			t.Errorf("isIPv6(%q) = %v, want %v", in, got, want)
		}
	}
}

func netipIsIPv6(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Is6() && !strings.Contains(s, "%")
}

func FuzzIsIPv6(f *testing.F) {
	for _, in := range ipv6Seeds {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		if got, want := httpcodec.IsIPv6([]byte(in)), netipIsIPv6(in); got != want {
			t.Errorf("isIPv6(%q) = %v, want %v", in, got, want)
		}
	})
}
