// Package deal shares work out between goroutines.
package deal

import (
	"iter"
	"sync/atomic"
)

// Pieces deals numbers out to several goroutines, a few at a time, so that whoever is done helps the others. The zero value is ready to use.
type Pieces struct{ taken atomic.Int64 }

// Of yields pieces of the numbers below n that are for the calling goroutine to deal with: each from a number to one below another.
func (p *Pieces) Of(n int) iter.Seq2[int, int] {
	const piece = 64
	return func(yield func(from, to int) bool) {
		for {
			from := int(p.taken.Add(piece)) - piece
			if from >= n || !yield(from, min(from+piece, n)) {
				return
			}
		}
	}
}
