package websocket

import "unicode/utf8"

// utf8Check checks text that comes in pieces, which may end within a character (RFC 6455, section 8.1; RFC 3629).
type utf8Check struct {
	cut  [utf8.UTFMax]byte // the beginning of a character
	have uint8
}

// add reports whether text that goes on with b can be UTF-8 still.
func (u *utf8Check) add(b []byte) bool {
	for u.have > 0 && len(b) > 0 {
		u.cut[u.have] = b[0]
		u.have++
		b = b[1:]
		if utf8.FullRune(u.cut[:u.have]) {
			if r, size := utf8.DecodeRune(u.cut[:u.have]); r == utf8.RuneError && size == 1 {
				return false
			}
			u.have = 0
		}
	}
	if u.have > 0 {
		return true
	}
	// At most three bytes at the end are the beginning of a character.
	whole := len(b)
	for i := 1; i <= min(utf8.UTFMax-1, len(b)); i++ {
		if c := b[len(b)-i]; utf8.RuneStart(c) {
			if !utf8.FullRune(b[len(b)-i:]) {
				whole = len(b) - i
			}
			break
		}
	}
	u.have = uint8(copy(u.cut[:], b[whole:]))
	return utf8.Valid(b[:whole])
}

// whole reports whether the text can end here.
func (u *utf8Check) whole() bool { return u.have == 0 }
