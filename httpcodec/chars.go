package httpcodec

import "encoding/binary"

// Character classes, as bits of class.
const (
	isTchar   = 1 << iota // tchar, RFC 9110 5.6.2
	isPath                // "/" and pchar but pct-encoded, RFC 3986 3.3
	isQuery               // "/", "?" and pchar but pct-encoded, RFC 3986 3.4
	isRegName             // reg-name but pct-encoded (unreserved, sub-delims), RFC 3986 3.2.2
	isHex                 // HEXDIG in both cases
	isDigit               // DIGIT
	isLax                 // what RFC 3986 has no place for in a path or query and Limits.LaxTarget lets in
)

var class = classes()

func classes() (t [256]uint8) {
	const (
		digits    = "0123456789"
		alpha     = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		subDelims = "!$&'()*+,;="
		regName   = alpha + digits + "-._~" + subDelims
	)
	set := func(chars string, bit uint8) {
		for i := range len(chars) {
			t[chars[i]] |= bit
		}
	}
	set(alpha+digits+"!#$%&'*+-.^_`|~", isTchar)
	set(regName+":@/", isPath)
	set(regName+":@/?", isQuery)
	set(regName, isRegName)
	set(digits+"abcdefABCDEF", isHex)
	set(digits, isDigit)
	set("\"%<>[\\]^`{|}", isLax)
	for c := 0x80; c < len(t); c++ {
		t[c] |= isLax
	}
	return t
}

// all reports whether every byte of b is of a class in mask.
func all(b []byte, mask uint8) bool {
	for _, c := range b {
		if class[c]&mask == 0 {
			return false
		}
	}
	return true
}

// isToken reports whether b is a token (RFC 9110 5.6.2).
func isToken(b []byte) bool { return len(b) > 0 && all(b, isTchar) }

// isPctEncoded reports whether b starts with a pct-encoded octet (RFC 3986 2.1).
func isPctEncoded(b []byte) bool {
	return len(b) >= 3 && b[0] == '%' && class[b[1]]&class[b[2]]&isHex != 0
}

// isText reports whether b holds nothing but HTAB, SP, VCHAR and obs-text, which is what a field value and a reason
// phrase are made of (RFC 9110 5.5, RFC 9112 4). Eight bytes are looked at in one go: a byte is suspicious when it
// is below 0x20 or is 0x7f, and only a word with one of those is read byte by byte, for HTAB.
func isText(b []byte) bool {
	for ; len(b) >= 8; b = b[8:] {
		if hasControl(binary.LittleEndian.Uint64(b)) && !isTextSlow(b[:8]) {
			return false
		}
	}
	return isTextSlow(b)
}

func isTextSlow(b []byte) bool {
	for _, c := range b {
		if c < 0x20 && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// hasControl reports whether a byte of x is below 0x20 or equals 0x7f. Subtracting n from each byte borrows into the
// top bit exactly when some byte without that bit is below n; a borrow can spread upwards only from a true hit.
func hasControl(x uint64) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	d := x ^ 0x7f*ones
	return ((x-0x20*ones)&^x|(d-ones)&^d)&tops != 0
}

// trimOWS cuts optional whitespace off both ends (RFC 9110 5.6.3).
func trimOWS(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// equalFold reports whether b equals lower, which is in lower case and has only letters, digits and "-". It must not
// be asked about a b with control characters: those would be taken for "-" and digits.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if c|0x20 != lower[i] {
			return false
		}
	}
	return true
}

// equalFoldAny is equalFold for a and b of any content and case.
func equalFoldAny[T string | []byte](a []byte, b T) bool {
	if len(a) != len(b) {
		return false
	}
	for i, c := range a {
		if lowerCase(c) != lowerCase(b[i]) {
			return false
		}
	}
	return true
}

func lowerCase(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c |= 0x20
	}
	return c
}

// nextElement cuts the first element off a comma-separated list (RFC 9110 5.6.1).
func nextElement(list []byte) (element, rest []byte) {
	for i, c := range list {
		if c == ',' {
			return trimOWS(list[:i]), list[i+1:]
		}
	}
	return trimOWS(list), nil
}
