package prose

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Between is "7" where both are 7, and "7–9" otherwise.
func Between(least, most string) string {
	if least == most {
		return least
	}
	return least + "–" + most
}

// Significant writes v, which is not negative, with three digits, or with more where it has more before the point.
func Significant(v float64) string {
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
		return Grouped(int64(v + 0.5))
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}

// Milliseconds is d as a number of milliseconds.
func Milliseconds(d time.Duration) string { return Significant(InMilliseconds(d)) }

// InMilliseconds is d as a number, for a chart.
func InMilliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// MiB is a number of bytes as a number of MiB.
func MiB(bytes int64) string { return Significant(float64(bytes) / (1 << 20)) }

// Span is d with its unit, for a time that was set or that need not be exact: "60 s", "500 ms", "2 min 3 s".
func Span(d time.Duration) string {
	trim := func(v float64) string {
		return strings.TrimSuffix(strings.TrimRight(strconv.FormatFloat(v, 'f', 2, 64), "0"), ".") // not 1.1400000000000001
	}
	switch {
	case d >= time.Hour:
		d = d.Round(time.Minute)
		return Grouped(int(d/time.Hour)) + " h " + strconv.Itoa(int(d%time.Hour/time.Minute)) + " min"
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
		return trim(InMilliseconds(d.Round(10*time.Microsecond))) + " ms"
	default:
		return trim(float64(d)/float64(time.Microsecond)) + " µs"
	}
}

// Ratio writes one with two digits behind the point, as long as these say something.
func Ratio(ratio float64) string {
	if ratio >= 0.095 && ratio < 99.5 {
		return fmt.Sprintf("%.2f", ratio)
	}
	return Significant(ratio)
}

// Column is d in milliseconds, of one width, so that the points of a column of them stand below each other; a - where there is none.
func Column(d time.Duration) string {
	if d == 0 {
		return "         -"
	}
	return fmt.Sprintf("%7.2f ms", InMilliseconds(d))
}
