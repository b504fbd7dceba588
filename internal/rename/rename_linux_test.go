//go:build linux

package rename

import (
	"bytes"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const home = "example.com/you/rstserver"

// TestRename renames a copy: all packages of all modules are found under the new path, the old one is gone from what is compiled, and
// renaming it back gives what was there before. Under -short the copy is linger and what it needs; otherwise it is everything, and compiled.
func TestRename(t *testing.T) {
	t.Parallel()
	packages, leftOut := "./...", []string{"bin"}
	if testing.Short() {
		packages, leftOut = "./linger/...", []string{"bin", "bench", "cmd"}
	}
	dir := copyModule(t, leftOut)
	before := contents(t, dir)
	old := modulePath(t, dir)
	runIn(t, dir, "make", "--no-print-directory", "rename", "MODULE="+home)
	if got := modulePath(t, dir); got != home {
		t.Fatalf("go.mod says %s, want %s", got, home)
	}
	listed := strings.Fields(runIn(t, dir, "go", "list", "-deps", "-test", packages))
	ours := 0
	for _, p := range listed {
		if strings.HasPrefix(p, old+"/") {
			t.Errorf("%s still goes by that name", p)
		}
		if strings.HasPrefix(p, home+"/") {
			ours++
		}
	}
	if ours == 0 {
		t.Errorf("no package has the new name: %q", listed)
	}
	for file, text := range contents(t, dir) {
		for line := range bytes.Lines(text) {
			if filepath.Ext(file) == ".go" && bytes.Contains(line, []byte(`"`+old+`/`)) {
				t.Errorf("%s still says %s", file, line)
			}
			for word := range strings.FieldsSeq(string(line)) {
				if filepath.Base(file) == "go.mod" && (word == old || strings.HasPrefix(word, old+"/")) {
					t.Errorf("%s still says %s", file, line)
				}
			}
		}
	}
	if !testing.Short() {
		runIn(t, dir, "go", "build", "./...")
		runIn(t, dir, "go", "vet", "./linger/...", "./cmd/...")
		for _, module := range []string{"bench/peers", "linger/interop", "poller/interop"} {
			runIn(t, filepath.Join(dir, module), "go", "vet", "./...")
		}
	}
	runIn(t, dir, "make", "--no-print-directory", "rename", "MODULE="+old)
	after := contents(t, dir)
	for file := range maps.Keys(before) {
		if !bytes.Equal(before[file], after[file]) {
			t.Errorf("%s is not what it was when the module has its old name again", file)
		}
	}
}

// TestRenameRefuses gives names that are no path of a module. Nothing is touched.
func TestRenameRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const mod = "module rstserver\n"
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(mod), 0o600); err != nil {
		t.Fatal(err)
	}
	script, err := filepath.Abs("rename.sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "/srv/rstserver", "example.com/", "example.com//x", "-n", "example.com/a b", "example.com/a#b", "example.com/$(id)"} {
		cmd := exec.Command("sh", script, name)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "'"+name+"' is no path of a module") {
			t.Errorf("MODULE=%q: %v, %q", name, err, out)
		}
	}
	if b, err := os.ReadFile(filepath.Join(dir, "go.mod")); err != nil || string(b) != mod {
		t.Errorf("go.mod is %q, %v", b, err)
	}
}

// TestUsedFromElsewhere uses the packages from another module as README.md says, under either name.
func TestUsedFromElsewhere(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	old := modulePath(t, root)
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	edit := "go mod edit -require " + old + "@v0.0.0 -replace " + old + "=/path/to/the/clone"
	if !bytes.Contains(readme, []byte("\n    "+edit+"\n    go mod tidy\n")) {
		t.Fatalf("README.md does not say %q and go mod tidy", edit)
	}
	dir := t.TempDir()
	program := "package main\n\nimport \"" + old + "/linger\"\n\nfunc main() { _, _ = linger.Listen(\"tcp\", \"127.0.0.1:0\") }\n"
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	runIn(t, dir, "go", "mod", "init", "example.com/mine")
	runIn(t, dir, "sh", "-c", strings.Replace(edit, "/path/to/the/clone", root, 1))
	runIn(t, dir, "go", "mod", "tidy")
	runIn(t, dir, "go", "build", "-o", filepath.Join(dir, "mine"), ".")
}

func modulePath(t *testing.T, dir string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	path, found := strings.CutPrefix(strings.SplitN(string(b), "\n", 2)[0], "module ")
	if !found {
		t.Fatalf("%s/go.mod names no module", dir)
	}
	return path
}

// copyModule copies the repository, but for what git has put there and those directories.
func copyModule(t *testing.T, leftOut []string) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(root, path)
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules" || slices.Contains(leftOut, name)):
			return fs.SkipDir
		case d.IsDir():
			return os.MkdirAll(filepath.Join(dir, name), 0o755)
		case !d.Type().IsRegular():
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, name), b, info.Mode().Perm())
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func contents(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	all := make(map[string][]byte)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		all[strings.TrimPrefix(path, dir)], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func runIn(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS=", "MAKEFLAGS=", "MAKELEVEL=", "MODULE=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
