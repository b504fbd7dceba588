//go:build linux

package processors

import (
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func cpuSet(cpus ...int) *unix.CPUSet {
	set := new(unix.CPUSet)
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	return set
}

func TestChoose(t *testing.T) {
	tests := []struct {
		name           string
		allowed, taken *unix.CPUSet
		current        int
		want           int
		ok             bool
	}{
		{"alone", cpuSet(0, 1), cpuSet(), 1, 1, true},
		{"current is taken", cpuSet(0, 1), cpuSet(1), 1, 0, true},
		{"another is taken", cpuSet(0, 1), cpuSet(0), 1, 1, true},
		{"first that is allowed", cpuSet(5, 9, 1023), cpuSet(9), 9, 5, true},
		{"last", cpuSet(5, 9, 1023), cpuSet(5, 9), 9, 1023, true},
		{"current is not allowed any more", cpuSet(2, 3), cpuSet(), 0, 2, true},
		{"current is unknown", cpuSet(2, 3), cpuSet(2), -1, 3, true},
		{"more loops than processors", cpuSet(0, 1), cpuSet(0, 1), 0, 0, false},
		{"one processor", cpuSet(3), cpuSet(), 3, 0, false},
		{"none", cpuSet(), cpuSet(), 0, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if cpu, ok := choose(tt.allowed, tt.taken, tt.current); cpu != tt.want || ok != tt.ok {
				t.Errorf("choose(current %d) = %d, %v, want %d, %v", tt.current, cpu, ok, tt.want, tt.ok)
			}
		})
	}
}

// TestTakeProcessors lets one goroutine more than there are processors take one: all but the last are apart, and each is free
// again afterwards to run where it could before.
func TestTakeProcessors(t *testing.T) {
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		t.Skipf("the kernel does not say where this may run: %v", err)
	}
	n := allowed.Count()
	if n < 2 {
		t.Skip("needs two processors")
	}
	if err := unix.SchedSetaffinity(0, &allowed); err != nil {
		t.Skipf("the kernel does not let us choose: %v", err)
	}
	var (
		p               Set
		taking, leaving sync.WaitGroup
		all             = make(chan struct{})
		during, after   = make([]unix.CPUSet, n+1), make([]unix.CPUSet, n+1)
	)
	taking.Add(n + 1)
	for i := range n + 1 {
		leaving.Go(func() {
			giveBack := p.Take()
			errDuring := unix.SchedGetaffinity(0, &during[i])
			taking.Done()
			<-all // the thread is still this goroutine's, as it is locked
			giveBack()
			if err := unix.SchedGetaffinity(0, &after[i]); err != nil || errDuring != nil {
				t.Error(err, errDuring)
			}
		})
	}
	taking.Wait()
	close(all)
	leaving.Wait()

	users := make(map[unix.CPUSet]int)
	for i := range during {
		users[during[i]]++
		if after[i] != allowed {
			t.Errorf("goroutine %d may run on %d processors afterwards, want %d", i, after[i].Count(), n)
		}
	}
	for set, k := range users {
		if want := set.Count() == 1 || set == allowed; k != 1 || !want {
			t.Errorf("%d goroutines had the same %d processors, want one goroutine on each, and one on all %d", k, set.Count(), n)
		}
	}
	if p.taken.Count() != 0 {
		t.Errorf("%d processors are still taken", p.taken.Count())
	}
}
