package prose

import "testing"

func TestPlural(t *testing.T) {
	for n, want := range map[int]string{-1000: "-1,000 sockets", -100: "-100 sockets", 0: "0 sockets", 1: "1 socket", 2: "2 sockets", 1000: "1,000 sockets", 1234567: "1,234,567 sockets"} {
		if got := Plural(n, "socket"); got != want {
			t.Errorf("Plural(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestEnumerate(t *testing.T) {
	for want, list := range map[string][]string{"": nil, "a": {"a"}, "a and b": {"a", "b"}, "a, b and c": {"a", "b", "c"}} {
		if got := Enumerate(list); got != want {
			t.Errorf("Enumerate(%q) = %q, want %q", list, got, want)
		}
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{"nginx": "nginx", "a b": "a b", "\x1b[2J": "?[2J", "x\n": "x?", "bücher": "bücher", "\xff": "?"} {
		if got := Printable(in); got != want {
			t.Errorf("Printable(%q) = %q, want %q", in, got, want)
		}
	}
}
