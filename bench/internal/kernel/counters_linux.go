//go:build linux

package kernel

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Overflow counts connections that were ended without the TIME_WAIT that was due, since net.ipv4.tcp_max_tw_buckets were
// there: what is left of a server then looks less than it is.
const Overflow = "TCPTimeWaitOverflow"

// Resets counts those that were sent, whichever end of a connection sent them.
const Resets = "OutRsts"

// Dropped counts segments that arrived while net.core.netdev_max_backlog of them waited for a processor, over the loopback interface,
// too. A RST among them is not sent again, so its client is not told.
const Dropped = "SoftnetDropped"

// counterNames are what a run is interested in, of /proc/net/netstat and /proc/net/snmp.
var counterNames = []string{
	Overflow, "TCPAbortOnData", "TCPAbortOnClose", "TCPAbortFailed", Resets, "ListenOverflows", "TCPMemoryPressures", "TCPAbortOnMemory",
}

// Counters reads the counters of the network namespace, and Dropped, which is the machine's.
func Counters() (map[string]int64, error) {
	all := make(map[string]int64)
	for _, name := range []string{"/proc/self/net/netstat", "/proc/self/net/snmp"} {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("bench: %w", err)
		}
		// Pairs of lines: the names, and what they are.
		lines := strings.Split(string(b), "\n")
		for i := 0; i+1 < len(lines); i += 2 {
			names, values := strings.Fields(lines[i]), strings.Fields(lines[i+1])
			for k := 1; k < min(len(names), len(values)); k++ {
				if n, err := strconv.ParseInt(values[k], 10, 64); err == nil {
					all[names[k]] = n
				}
			}
		}
	}
	some := make(map[string]int64)
	for _, name := range counterNames {
		if n, ok := all[name]; ok {
			some[name] = n
		}
	}
	var err error
	some[Dropped], err = dropped()
	return some, err
}

// dropped is the second column of /proc/net/softnet_stat, in hexadecimal figures, of all processors and namespaces.
func dropped() (total int64, err error) {
	b, err := os.ReadFile("/proc/net/softnet_stat")
	if err != nil {
		return 0, fmt.Errorf("bench: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		var arrived, dropped int64
		if _, err := fmt.Sscanf(line, "%x %x", &arrived, &dropped); err != nil {
			return 0, fmt.Errorf("bench: /proc/net/softnet_stat: %w", err)
		}
		total += dropped
	}
	return total, nil
}

// Since is by how much counters have risen.
func Since(before, after map[string]int64) map[string]int64 {
	risen := make(map[string]int64)
	for name, n := range after {
		if d := n - before[name]; d != 0 {
			risen[name] = d
		}
	}
	return risen
}
