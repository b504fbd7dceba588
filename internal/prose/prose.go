// Package prose writes numbers, lists and names for readers.
package prose

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Grouped writes n with a comma between groups of three digits.
func Grouped[T ~int | ~int64](n T) string {
	s := strconv.FormatInt(int64(n), 10)
	first := 0
	if n < 0 {
		first = 1
	}
	for i := len(s) - 3; i > first; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Plural is n of a thing: "1 socket", "2 sockets".
func Plural(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return Grouped(n) + " " + thing
}

// Enumerate is "a", "a and b", "a, b and c".
func Enumerate(list []string) string {
	if len(list) < 2 {
		return strings.Join(list, "")
	}
	last := len(list) - 1
	return strings.Join(list[:last], ", ") + " and " + list[last]
}

// Printable takes out of s what would do something to a terminal or break a line. Names come from the command line and from other
// processes, which choose their own.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}
