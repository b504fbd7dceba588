//go:build linux

package bench

import (
	"debug/buildinfo"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
)

// ProgramVersion is the commit that this program was built from, as far as Go knows; empty where it does not.
func ProgramVersion() string { return programVersion() }

// programVersion is the commit that this program was built from, as far as Go knows.
func programVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	revision, modified := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = ", modified"
		}
	}
	if revision == "" {
		return strings.Trim(info.Main.Version, "()")
	}
	return revision + modified
}

// moduleVersion is the version of a module in a Go program.
func moduleVersion(program, module string) func() string {
	return func() string {
		info, err := buildinfo.ReadFile(program)
		if err != nil {
			return ""
		}
		for _, dep := range info.Deps {
			if dep.Path == module {
				return dep.Version
			}
		}
		return ""
	}
}

// commandVersion is the version that a program tells, behind what it says before it.
func commandVersion(program, flag, before string) func() string {
	return func() string {
		cmd := exec.Command(program, flag)
		if cmd.Err != nil { // where Debian has it, and users do not look
			cmd = exec.Command("/usr/sbin/"+program, flag)
		}
		out, err := cmd.CombinedOutput()
		if err != nil {
			return ""
		}
		_, version, _ := strings.Cut(string(out), before)
		version, _, _ = strings.Cut(version, "\n")
		version, _, _ = strings.Cut(version, " ")
		return strings.TrimSuffix(version, ")")
	}
}

// packageVersion is the version of an npm package in dir, and of Node; name is empty for what Node has itself.
func packageVersion(dir, name string) func() string {
	return func() string {
		out, err := exec.Command("node", "--version").Output()
		if err != nil {
			return ""
		}
		node := "Node " + strings.TrimSpace(string(out))
		if name == "" {
			return node
		}
		var p struct{ Version string }
		b, err := os.ReadFile(filepath.Join(dir, "node_modules", name, "package.json"))
		if err != nil || json.Unmarshal(b, &p) != nil {
			return node
		}
		return p.Version + ", " + node
	}
}
