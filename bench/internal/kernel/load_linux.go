//go:build linux

package kernel

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// Memory is what the kernel itself holds, in bytes, on behalf of whoever is on the machine.
type Memory struct {
	Total  int64 // slabs, page tables, kernel stacks and vmalloc of proc_meminfo(5): sockets, their inodes, what epoll and the table of descriptors have of them
	Queues int64 // what TCP has accounted for what is in queues, of /proc/net/sockstat; mostly a part of the slabs
}

// Since is what it has grown by.
func (m Memory) Since(then Memory) Memory {
	return Memory{m.Total - then.Total, m.Queues - then.Queues}
}

// ReadMemory reads it.
func ReadMemory() (m Memory, err error) {
	info, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return m, fmt.Errorf("bench: %w", err)
	}
	for line := range strings.Lines(string(info)) {
		var name string
		var kB int64
		if _, err := fmt.Sscanf(line, "%s %d", &name, &kB); err != nil {
			continue
		}
		switch name {
		case "Slab:", "PageTables:", "KernelStack:", "VmallocUsed:":
			m.Total += kB << 10
		}
	}
	if m.Total == 0 {
		return m, fmt.Errorf("bench: /proc/meminfo has no figure of the kernel's memory")
	}
	stat, err := os.ReadFile("/proc/net/sockstat")
	if err != nil {
		return m, fmt.Errorf("bench: %w", err)
	}
	for line := range strings.Lines(string(stat)) {
		fields := strings.Fields(line)
		for i := 1; i+1 < len(fields); i += 2 {
			var pages int64
			if n, _ := fmt.Sscan(fields[i+1], &pages); fields[0] == "TCP:" && fields[i] == "mem" && n == 1 {
				m.Queues = pages * int64(os.Getpagesize())
			}
		}
	}
	return m, nil
}

// SoftIRQ is how long the processors of the machine have been in soft interrupts since it started, by the ticks of its clock, to a
// hundredth of a second: where segments arrive, whichever process has sent them (proc_stat(5)).
func SoftIRQ() (time.Duration, error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, fmt.Errorf("bench: %w", err)
	}
	const softirq = 7 // behind "cpu"
	fields := strings.Fields(string(stat))
	var ticks time.Duration
	if len(fields) <= softirq || fields[0] != "cpu" {
		return 0, fmt.Errorf("bench: /proc/stat does not begin as proc_stat(5) has it")
	}
	if _, err := fmt.Sscan(fields[softirq], (*int64)(&ticks)); err != nil {
		return 0, fmt.Errorf("bench: /proc/stat: %w", err)
	}
	const tick = time.Second / 100 // USER_HZ
	return ticks * tick, nil
}
