package report

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"rstserver/internal/prose"
)

// none stands where there is no figure. It is never a zero, which would be one.
const none = "–"

// shell is a command as one types it.
func shell(args []string) string {
	quoted := make([]string, len(args))
	for i, arg := range args {
		harmless := func(r rune) bool {
			return r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("-_./,:=+@%{}", r))
		}
		if arg == "" || strings.ContainsFunc(arg, func(r rune) bool { return !harmless(r) }) {
			arg = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
		quoted[i] = prose.Printable(arg)
	}
	return strings.Join(quoted, " ")
}

// distinct are the strings of a list without repetition, in the order of their first appearance.
func distinct(list []string) []string {
	var once []string
	for _, s := range list {
		if !slices.Contains(once, s) {
			once = append(once, s)
		}
	}
	return once
}
