package deal

import (
	"slices"
	"sync"
	"testing"
)

// Of several goroutines that share numbers, each number is dealt with once, and whoever is held up leaves the rest to the others.
func TestPieces(t *testing.T) {
	const n = 5_000
	var p Pieces
	held, others := make(chan struct{}), sync.WaitGroup{}
	var stuck []int
	var slow sync.WaitGroup
	begun := make(chan struct{})
	slow.Go(func() {
		for from, to := range p.Of(n) {
			for i := from; i < to; i++ {
				stuck = append(stuck, i)
			}
			if from == 0 {
				close(begun)
				<-held
			}
		}
	})
	<-begun
	got := make([][]int, 3)
	for k := range got {
		others.Go(func() {
			for from, to := range p.Of(n) {
				for i := from; i < to; i++ {
					got[k] = append(got[k], i)
				}
			}
		})
	}
	others.Wait()
	close(held)
	slow.Wait()
	if len(stuck) > 64 {
		t.Errorf("the goroutine that was held up has %d numbers", len(stuck))
	}
	all := append(slices.Concat(got...), stuck...)
	slices.Sort(all)
	for i, got := range all {
		if got != i {
			t.Fatalf("the number at %d is %d", i, got)
		}
	}
	if len(all) != n {
		t.Errorf("%d numbers, want %d", len(all), n)
	}
	for from, to := range new(Pieces).Of(0) {
		t.Errorf("of none it deals out %d to %d", from, to)
	}
}
