//go:build linux

package kernel

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"rstserver/bench/report"
)

// sysctls are what the outcome depends on.
var sysctls = []string{
	"net.core.netdev_max_backlog", "net.core.somaxconn", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_max_orphans", "net.ipv4.tcp_max_tw_buckets",
	"net.ipv4.tcp_mem", "net.ipv4.tcp_tw_reuse", "net.ipv4.tcp_wmem",
}

// Machine says what this machine is. What cannot be found out is left empty.
func Machine() report.Machine {
	m := report.Machine{
		OS: osName(), Arch: runtime.GOARCH, Processor: firstField("/proc/cpuinfo", "model name"), Processors: runtime.NumCPU(),
		GoVersion: runtime.Version(), Sysctl: make(map[string]string),
	}
	var uts unix.Utsname
	if unix.Uname(&uts) == nil {
		m.Kernel = unix.ByteSliceToString(uts.Release[:])
	}
	var kB int64
	if _, err := fmt.Sscanf(firstField("/proc/meminfo", "MemTotal"), "%d kB", &kB); err == nil {
		m.Memory = kB << 10
	}
	m.OpenFiles, _ = LimitOfFiles()
	if load := strings.Fields(content("/proc/loadavg")); len(load) >= 3 {
		m.Load = strings.Join(load[:3], " ")
	}
	for _, name := range sysctls {
		if v := strings.Join(strings.Fields(content("/proc/sys/"+strings.ReplaceAll(name, ".", "/"))), " "); v != "" {
			m.Sysctl[name] = v
		}
	}
	return m
}

// LimitOfFiles is how many descriptors one process may have: the hard limit, to which a Go program raises its own.
func LimitOfFiles() (uint64, error) {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return 0, fmt.Errorf("bench: getrlimit RLIMIT_NOFILE: %w", err)
	}
	return l.Max, nil
}

func osName() string {
	for line := range strings.Lines(content("/etc/os-release")) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
			return strings.Trim(name, `"`)
		}
	}
	return runtime.GOOS
}

// firstField is the first value with a name in a file of "name: value" lines.
func firstField(file, name string) string {
	for line := range strings.Lines(content(file)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// content is a file's, or nothing.
func content(file string) string {
	b, _ := os.ReadFile(file)
	return string(b)
}
