package report

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"rstserver/internal/prose"
)

// none stands where there is no figure. It is never a zero, which would be one.
const none = "–"

// between is "7" where both are 7, and "7–9" otherwise.
func between(least, most string) string {
	if least == most {
		return least
	}
	return least + "–" + most
}

// significant writes v, which is not negative, with three digits, or with more where it has more before the point.
func significant(v float64) string {
	decimals := 0
	switch {
	case v < 0.0005:
		return "<0.001"
	case v < 9.995:
		decimals = 2
		if v < 0.9995 {
			decimals = 3
		}
	case v < 99.95:
		decimals = 1
	default:
		return prose.Grouped(int64(v + 0.5))
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}

// ms is d as a number of milliseconds.
func ms(d time.Duration) string { return significant(inMilliseconds(d)) }

func inMilliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// mib is a number of bytes as a number of MiB.
func mib(bytes int64) string { return significant(float64(bytes) / (1 << 20)) }

// span is d with its unit, for a time that was set or that need not be exact: "60 s", "500 ms", "2 min 3 s".
func span(d time.Duration) string {
	trim := func(v float64) string {
		return strings.TrimSuffix(strings.TrimRight(strconv.FormatFloat(v, 'f', 2, 64), "0"), ".") // not 1.1400000000000001
	}
	switch {
	case d >= time.Hour:
		d = d.Round(time.Minute)
		return prose.Grouped(int(d/time.Hour)) + " h " + strconv.Itoa(int(d%time.Hour/time.Minute)) + " min"
	case d >= 2*time.Minute:
		d = d.Round(time.Second)
		s := strconv.Itoa(int(d/time.Minute)) + " min"
		if rest := d % time.Minute / time.Second; rest > 0 {
			s += " " + strconv.Itoa(int(rest)) + " s"
		}
		return s
	case d >= time.Second:
		return trim(d.Round(10*time.Millisecond).Seconds()) + " s"
	case d >= time.Millisecond:
		return trim(inMilliseconds(d.Round(10*time.Microsecond))) + " ms"
	default:
		return trim(float64(d)/float64(time.Microsecond)) + " µs"
	}
}

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
