package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// byteSize is a number of bytes, written as GOMEMLIMIT is: 268435456, 262144KiB, 256MiB, 1GiB or 1TiB.
type byteSize int64

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *byteSize) UnmarshalText(text []byte) error {
	digits, shift := string(text), 0
	for i, unit := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if before, ok := strings.CutSuffix(digits, unit); ok {
			digits, shift = before, 10*(i+1)
			break
		}
	}
	if shift == 0 {
		digits = strings.TrimSuffix(digits, "B")
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || n > math.MaxInt64>>shift {
		return fmt.Errorf("%q is no number of bytes; write it as 268435456, 256MiB or 1GiB", text)
	}
	*b = byteSize(n << shift)
	return nil
}
