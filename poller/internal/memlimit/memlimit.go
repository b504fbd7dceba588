// Package memlimit says how much memory the process may take.
package memlimit

import (
	"bufio"
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"
)

// Unlimited is the limit of who has none.
const Unlimited = int64(math.MaxInt64)

// cgroup is the least limit of the process's memory cgroups, of version 1 and 2, in bytes; [Unlimited] where none is set or nobody can say.
// A limit of a group holds for the groups in it, so those above count too, as far as they can be seen. root is the file system of
// the machine; see cgroups(7), and memory.max and memory.limit_in_bytes in the kernel's cgroup-v2.rst and cgroup-v1/memory.rst.
func cgroup(root fs.FS) int64 {
	least := Unlimited
	for _, m := range mounts(root) {
		for dir := m.dir; ; dir = path.Dir(dir) {
			least = min(least, read(root, path.Join(dir, m.file)))
			if dir == m.top || dir == "." || dir == "/" {
				break
			}
		}
	}
	return least
}

// mount is a hierarchy of cgroups that may limit the memory of the process.
type mount struct {
	top  string // where it is mounted; no path begins with a slash
	dir  string // that of the process's own group
	file string // that has the limit of a group
}

// mounts returns the hierarchies.
func mounts(root fs.FS) (found []mount) {
	groups := groups(root)
	eachLine(root, "proc/self/mountinfo", func(line string) {
		before, after, _ := strings.Cut(line, " - ")
		fields, kind := strings.Fields(before), strings.Fields(after)
		if len(fields) < 5 || len(kind) < 3 {
			return
		}
		m := mount{top: relative(unescape(fields[4]))}
		controller := ""
		switch {
		case kind[0] == "cgroup2":
			m.file = "memory.max"
		case kind[0] == "cgroup" && lists(kind[2], "memory"):
			controller, m.file = "memory", "memory.limit_in_bytes"
		default:
			return
		}
		group, ok := groups[controller]
		if !ok {
			return
		}
		// A container may see a part of the hierarchy only, which begins with what the mount shows as its root.
		shown := unescape(fields[3])
		if below, ok := strings.CutPrefix(group, shown); ok && (below == "" || below[0] == '/' || strings.HasSuffix(shown, "/")) {
			group = below
		} else if shown != "/" {
			group = "" // its own group is not among what it sees, as with a namespace of cgroups: the root of that is
		}
		m.dir = path.Join(m.top, group)
		found = append(found, m)
	})
	return found
}

// groups are the paths of the process's groups, by controller; that of version 2 is the empty one.
func groups(root fs.FS) map[string]string {
	all := make(map[string]string)
	eachLine(root, "proc/self/cgroup", func(line string) {
		parts := strings.SplitN(line, ":", 3)
		if len(parts) == 3 && (parts[1] != "" || parts[0] == "0") {
			for _, controller := range strings.Split(parts[1], ",") {
				all[controller] = path.Clean("/" + parts[2])
			}
		}
	})
	return all
}

// read is the limit in a file.
func read(root fs.FS, name string) int64 {
	limit := Unlimited
	eachLine(root, name, func(line string) {
		if n, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64); err == nil && n > 0 { // or it is "max"
			limit = n
		}
	})
	return limit
}

// eachLine calls f for the lines of a file, if there is one.
func eachLine(root fs.FS, name string, f func(line string)) {
	file, err := root.Open(name)
	if err != nil {
		return
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		f(lines.Text())
	}
}

func lists(options, option string) bool {
	for o := range strings.SplitSeq(options, ",") {
		if o == option {
			return true
		}
	}
	return false
}

// relative is a path as package fs has it.
func relative(name string) string {
	if name = strings.TrimPrefix(path.Clean(name), "/"); name == "" {
		return "."
	}
	return name
}

// unescape undoes what the kernel does to spaces and the like in mountinfo (proc_pid_mountinfo(5)).
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
