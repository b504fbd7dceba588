//go:build linux

package suites

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// suite is a project's tests.
type suite struct {
	name     string
	module   string // module@version; empty: a package of the standard library, copied into a module of its own
	packages []string
	leftOut  map[string]string // tests that are not run, and why
	// differences are the tests that net/http passes and poller does not, on purpose.
	differences []difference
	quick       bool // it runs with -short, too
}

// difference is why some tests do not pass.
type difference struct {
	why   string
	tests []string // package-relative names as go test gives them
}

// limit is for a suite that hangs.
const limit = 5 * time.Minute

func TestSuites(t *testing.T) {
	var table []string
	for _, s := range all {
		t.Run(s.name, func(t *testing.T) {
			if testing.Short() && !s.quick {
				t.Skip("with -short only the quick suites run")
			}
			for test, why := range s.leftOut {
				t.Logf("%s is left out: %s", test, why)
			}
			before := mode(t, "/")
			defer func() {
				if after := mode(t, "/"); after != before {
					_ = os.Chmod("/", before)
					t.Errorf("a test of the suite has made the mode of / %s: find it, and leave it out", after)
				}
			}()
			dir := s.copy(t)
			files := hook(t, dir)
			ours := s.run(t, dir, overlay(t, files))
			table = append(table, s.judge(t, ours, func(tests []string) outcome { return s.run(t, dir, nil, tests...) }))
		})
	}
	t.Log("\n" + strings.Join(table, "\n"))
}

// mode is that of a file or directory.
func mode(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	return info.Mode().Perm()
}

// outcome is how tests of a suite ended, by "package.Test".
type outcome struct {
	passed, failed map[string]bool
	output         map[string]string
}

// judge compares what did not pass with what is expected not to, and returns a line of the table.
func (s *suite) judge(t *testing.T, ours outcome, onNetHTTP func(tests []string) outcome) string {
	t.Helper()
	expected := make(map[string]string)
	for _, d := range s.differences {
		for _, test := range d.tests {
			expected[test] = d.why
			if ours.passed[test] {
				t.Errorf("%s passes; it was expected not to, since %s", test, d.why)
			} else if !ours.failed[test] {
				t.Errorf("%s did not run; it was expected to fail, since %s", test, d.why)
			}
		}
	}
	var surprising []string
	for test := range ours.failed {
		if expected[test] == "" {
			surprising = append(surprising, test)
		}
	}
	elsewhere := 0
	if len(surprising) > 0 {
		slices.Sort(surprising)
		plain := onNetHTTP(surprising)
		for _, test := range surprising {
			if plain.failed[test] {
				elsewhere++
				t.Logf("%s fails on net/http, too", test)
				continue
			}
			t.Errorf("%s passes on net/http, and not on poller:\n%s", test, ours.output[test])
		}
	}
	return fmt.Sprintf("%-20s %-40s %4d pass, %2d differ on purpose, %2d fail on net/http too", s.name, s.module, len(ours.passed),
		len(expected), elsewhere)
}

// copy brings the suite into a directory of its own, as a module that can import rstserver.
func (s *suite) copy(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	from := filepath.Join(goroot(t), "src", "net", "http", "httputil")
	if s.module != "" {
		var module struct{ Dir, Error string }
		out, err := command(t, ".", "go", "mod", "download", "-json", s.module).Output()
		if e := json.Unmarshal(out, &module); e != nil || module.Dir == "" {
			t.Fatalf("go mod download %s: %v, %v %s", s.module, err, e, module.Error)
		}
		from = module.Dir
	}
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	if s.module == "" {
		s.adaptStandard(t, dir)
	}
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	// The module cache is read-only, and so is a copy of it.
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = os.Chmod(path, 0o755)
		} else if err == nil && (d.Name() == "go.mod" || d.Name() == "go.sum") {
			err = os.Chmod(path, 0o644)
		}
		return err
	}))
	edit := []string{"mod", "edit", "-replace=rstserver=" + root, "-require=rstserver@v0.0.0"}
	goMod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	must(t, err)
	for line := range strings.Lines(string(goMod)) {
		if f := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require ")); len(f) >= 2 && strings.HasPrefix(f[1], "v") && f[0] != "go" {
			edit = append(edit, "-require="+newer(t, dir, f[0], f[1]))
		}
	}
	run(t, dir, "go", edit...)
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	must(t, err)
	f, err := os.OpenFile(filepath.Join(dir, "go.sum"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	must(t, err)
	_, err = f.Write(append([]byte("\n"), sums...))
	must(t, errors.Join(err, f.Close()))
	return dir
}

// newer is the requirement of rstserver's, or that of the suite's if it is a later one.
func newer(t *testing.T, dir, path, version string) string {
	out, _ := command(t, dir, "go", "list", "-mod=mod", "-m", "-f", "{{.Version}}", path).Output()
	if have := strings.TrimSpace(string(out)); have != "" && later(have, version) {
		version = have
	}
	return path + "@" + version
}

// later compares versions of the form v1.2.3; what stands behind that does not matter here.
func later(a, b string) bool {
	number := func(v string) (n [3]int) {
		_, _ = fmt.Sscanf(v, "v%d.%d.%d", &n[0], &n[1], &n[2])
		return n
	}
	x, y := number(a), number(b)
	return slices.Compare(x[:], y[:]) > 0
}

// godebugText stands in for a package that is the standard library's alone: no setting is ever set.
const godebugText = `package godebug

type Setting struct{}

func New(string) *Setting           { return new(Setting) }
func (*Setting) Value() string      { return "" }
func (*Setting) IncNonDefault()     {}
`

// goroot is where the standard library's sources are.
func goroot(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(run(t, ".", "go", "env", "GOROOT"))
}

// adaptStandard makes a package of the standard library one of a module.
func (s *suite) adaptStandard(t *testing.T, dir string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module suite\n\ngo 1.26.0\n"), 0o644))
	for _, pkg := range []string{"internal/ascii", "internal"} {
		sources, err := filepath.Glob(filepath.Join(goroot(t), "src", "net", "http", pkg, "*.go"))
		must(t, err)
		to := filepath.Join(dir, "nethttp", strings.TrimPrefix(pkg, "internal"))
		must(t, os.MkdirAll(to, 0o755))
		for _, source := range sources {
			if strings.HasSuffix(source, "_test.go") {
				continue
			}
			text, err := os.ReadFile(source)
			must(t, err)
			must(t, os.WriteFile(filepath.Join(to, filepath.Base(source)), text, 0o644))
		}
	}
	must(t, os.Mkdir(filepath.Join(dir, "godebug"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "godebug", "godebug.go"), []byte(godebugText), 0o644))
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		text = bytes.ReplaceAll(text, []byte(`"net/http/internal`), []byte(`"suite/nethttp`))
		text = bytes.ReplaceAll(text, []byte(`"internal/godebug"`), []byte(`"suite/godebug"`))
		return os.WriteFile(path, text, 0o644)
	}))
}

//go:embed testdata/hook.go.txt
var hookText string

// hook puts what has a package's tests served by poller into every package that has some, and returns httptest's changed file.
func hook(t *testing.T, dir string) (server string) {
	t.Helper()
	type pkg struct {
		Dir, Name                 string
		TestGoFiles, XTestGoFiles []string
	}
	out := run(t, dir, "go", "list", "-mod=mod", "-json=Dir,Name,TestGoFiles,XTestGoFiles", "./...")
	for decoder := json.NewDecoder(strings.NewReader(out)); ; {
		var p pkg
		if err := decoder.Decode(&p); err != nil {
			break
		}
		if len(p.TestGoFiles)+len(p.XTestGoFiles) == 0 {
			continue
		}
		text := strings.Replace(hookText, "PACKAGE", p.Name+"_test", 1)
		must(t, os.WriteFile(filepath.Join(p.Dir, "rstserver_hook_test.go"), []byte(text), 0o644))
	}
	text, err := os.ReadFile(filepath.Join(goroot(t), "src", "net", "http", "httptest", "server.go"))
	must(t, err)
	server = string(text)
	for _, change := range []struct{ from, to string }{
		{"\nfunc (s *Server) goServe() {\n", `
// OnPoller serves in the place of the http.Server, if it is set and likes the listener.
var OnPoller func(net.Listener, *http.Server) (stop func())

func (s *Server) goServe() {
	if OnPoller != nil {
		if s.stop = OnPoller(s.Listener, s.Config); s.stop != nil {
			return
		}
	}
`},
		{"\n	mu     sync.Mutex // guards closed and conns\n", "\n	stop func()\n\n	mu     sync.Mutex // guards closed and conns\n"},
		{"\n	s.wg.Wait()\n", "\n	if s.stop != nil {\n		s.stop()\n	}\n	s.wg.Wait()\n"},
	} {
		if strings.Count(server, change.from) != 1 {
			t.Fatalf("this Go's httptest has no %q, or several: the overlay has to follow", change.from)
		}
		server = strings.Replace(server, change.from, change.to, 1)
	}
	return server
}

// overlay writes the file that go test's -overlay names.
func overlay(t *testing.T, server string) []string {
	t.Helper()
	dir := t.TempDir()
	changed := filepath.Join(dir, "server.go")
	must(t, os.WriteFile(changed, []byte(server), 0o644))
	replace := map[string]map[string]string{"Replace": {
		filepath.Join(goroot(t), "src", "net", "http", "httptest", "server.go"): changed,
	}}
	text, err := json.Marshal(replace)
	must(t, err)
	file := filepath.Join(dir, "overlay.json")
	must(t, os.WriteFile(file, text, 0o644))
	return []string{"-overlay=" + file}
}

// run runs the suite, or some of its tests, and without the hook if there is no overlay.
func (s *suite) run(t *testing.T, dir string, flags []string, tests ...string) outcome {
	t.Helper()
	if flags == nil {
		must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Name() == "rstserver_hook_test.go" {
				err = os.Remove(path)
			}
			return err
		}))
	}
	var skip []string
	for test := range s.leftOut {
		skip = append(skip, "^"+test+"$")
	}
	args := slices.Concat([]string{"test", "-mod=mod", "-json", "-count=1", "-vet=off", "-timeout=" + limit.String()}, flags)
	if len(skip) > 0 {
		args = append(args, "-skip="+strings.Join(skip, "|"))
	}
	if len(tests) > 0 {
		var names []string
		for _, test := range tests {
			_, name, _ := strings.Cut(test, ".")
			top, _, _ := strings.Cut(name, "/")
			names = append(names, top)
		}
		args = append(args, "-run=^("+strings.Join(slices.Compact(names), "|")+")$")
	}
	cmd := command(t, dir, "go", append(args, s.packages...)...)
	out, _ := cmd.Output() // tests that fail are found below
	o := outcome{make(map[string]bool), make(map[string]bool), make(map[string]string)}
	var module string
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		var e struct{ Action, Package, Test, Output string }
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue
		}
		module = e.Package
		name := e.Package[strings.LastIndex(e.Package, "/")+1:] + "." + e.Test
		switch {
		case e.Action == "output":
			o.output[name] += e.Output
		case e.Action == "pass" && e.Test != "":
			o.passed[name] = true
		case e.Action == "fail" && e.Test != "":
			o.failed[name] = true
		case e.Action == "fail" && len(tests) == 0:
			o.failed[name] = true
		}
	}
	// A package has failed since a test of it has, unless it has not been built or has panicked.
	for name := range o.failed {
		pkg, test, _ := strings.Cut(name, ".")
		if test == "" && slices.ContainsFunc(sortedKeys(o.failed), func(n string) bool {
			return strings.HasPrefix(n, pkg+".") && n != name
		}) {
			delete(o.failed, name)
		}
		// So has a test since a part of it has.
		if i := strings.LastIndex(name, "/"); i > 0 {
			delete(o.failed, name[:i])
		}
	}
	if len(o.passed) == 0 && len(tests) == 0 {
		t.Fatalf("no test of %s passes:\n%.4000s\n%.4000s", module, out, cmd.Stderr)
	}
	return o
}

func sortedKeys(m map[string]bool) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := command(t, dir, name, args...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%.4000s%.4000s", cmd, err, out, cmd.Stderr)
	}
	return string(out)
}

// command is run in dir, and as if no workspace or flags of the caller's were there.
func command(t *testing.T, dir, name string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(t.Context(), limit+time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	cmd.Stderr = new(bytes.Buffer)
	return cmd
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
