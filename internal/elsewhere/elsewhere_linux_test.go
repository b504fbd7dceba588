//go:build linux && !race

// The race detector makes what follows slow and has nothing to find in it: one goroutine does it all.

package elsewhere

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/printer"
	"go/token"
	"go/types"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// packages are those that compile elsewhere.
var packages = []string{"linger", "linger/sockdiag", "poller", "linger/lingertest"}

// systems are those that people develop on.
var systems = []string{"darwin", "windows"}

// TestCompiles checks the types of the packages and of their tests. To compile all that they need, for each system, would cost a new
// machine minutes.
func TestCompiles(t *testing.T) {
	for _, system := range systems {
		t.Run(system, func(t *testing.T) {
			checked := map[string]*types.Package{"unsafe": types.Unsafe}
			for _, p := range needed(t, system) {
				if p.ImportPath != "unsafe" && !strings.HasSuffix(p.ImportPath, ".test") {
					checked[p.ImportPath] = p.check(t, checked)
				}
			}
		})
	}
}

// source is a package as go list describes it.
type source struct {
	Dir, ImportPath string
	GoFiles         []string
	ImportMap       map[string]string
	Module          *struct{ Main bool }
	Error           *struct{ Err string }
}

// needed returns the packages, their tests and what they need on a system, each after what it needs itself.
func needed(t *testing.T, system string) []source {
	t.Helper()
	args := []string{"list", "-deps", "-test", "-json=Dir,ImportPath,GoFiles,ImportMap,Module,Error"}
	for _, p := range packages {
		args = append(args, "rstserver/"+p)
	}
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "GOOS="+system, "CGO_ENABLED=0", "GOFLAGS=")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("GOOS=%s go %s: %v", system, strings.Join(args, " "), err)
	}
	var all []source
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var p source
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

// check checks the types of a package, and of what its functions do if it is one of this module.
func (p *source) check(t *testing.T, checked map[string]*types.Package) *types.Package {
	t.Helper()
	ours := p.Module != nil && p.Module.Main
	if p.Error != nil {
		t.Errorf("%s: %s", p.ImportPath, p.Error.Err)
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range p.GoFiles {
		file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Error(err)
			continue
		}
		files = append(files, file)
	}
	config := types.Config{
		IgnoreFuncBodies: !ours,
		FakeImportC:      true,
		Importer: importer(func(path string) (*types.Package, error) {
			if found := checked[cmp.Or(p.ImportMap[path], path)]; found != nil {
				return found, nil
			}
			return nil, fmt.Errorf("%s is not there", path)
		}),
		Error: func(err error) {
			if ours {
				t.Error(err)
			}
		},
	}
	path, _, _ := strings.Cut(p.ImportPath, " ") // what follows says for which test it is
	pkg, _ := config.Check(path, fset, files, nil)
	return pkg
}

type importer func(path string) (*types.Package, error)

func (i importer) Import(path string) (*types.Package, error) { return i(path) }

// What a package exports on Linux it exports elsewhere, and the same way, so that a program that compiles here compiles there.
func TestSameExports(t *testing.T) {
	for _, p := range packages {
		here := exports(t, p, "linux")
		if len(here) == 0 {
			t.Errorf("%s exports nothing", p)
		}
		for _, system := range systems {
			there := exports(t, p, system)
			for _, name := range slices.Sorted(maps.Keys(here)) {
				if got, ok := there[name]; !ok {
					t.Errorf("%s: %s is not there on %s", p, name, system)
				} else if got != here[name] {
					t.Errorf("%s: on %s %s is\n\t%s\nwant\n\t%s", p, system, name, got, here[name])
				}
			}
		}
	}
}

// exports returns what a package exports on a system, by name, as far as a user's code can tell: of a function how it is called, of a
// struct its fields that are exported. Methods by embedding are not looked for.
func exports(t *testing.T, dir, system string) map[string]string {
	t.Helper()
	ctx := build.Default
	ctx.GOOS, ctx.CgoEnabled = system, false
	pkg, err := ctx.ImportDir(filepath.Join("../..", dir), 0)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]string)
	fset := token.NewFileSet()
	for _, name := range pkg.GoFiles {
		file, err := parser.ParseFile(fset, filepath.Join(pkg.Dir, name), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			declared(found, fset, d)
		}
	}
	return found
}

func declared(found map[string]string, fset *token.FileSet, d ast.Decl) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		name := d.Name.Name
		if d.Recv != nil {
			on := strings.TrimPrefix(text(fset, d.Recv.List[0].Type), "*")
			if !ast.IsExported(on) {
				return // one that an exported type has by embedding
			}
			name = on + "." + name
		}
		if d.Name.IsExported() {
			found[name] = signature(fset, d.Type)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.ValueSpec:
				for _, n := range spec.Names {
					if n.IsExported() {
						found[n.Name] = d.Tok.String()
					}
				}
			case *ast.TypeSpec:
				if !spec.Name.IsExported() {
					continue
				}
				found[spec.Name.Name] = "type"
				if s, ok := spec.Type.(*ast.StructType); ok {
					for _, f := range s.Fields.List {
						for _, n := range f.Names {
							if n.IsExported() {
								found[spec.Name.Name+"."+n.Name] = text(fset, f.Type)
							}
						}
					}
				}
			}
		}
	}
}

// signature leaves the names of parameters out.
func signature(fset *token.FileSet, f *ast.FuncType) string {
	types := func(list *ast.FieldList) string {
		var all []string
		if list != nil {
			for _, p := range list.List {
				for range max(len(p.Names), 1) {
					all = append(all, text(fset, p.Type))
				}
			}
		}
		return "(" + strings.Join(all, ", ") + ")"
	}
	return "func" + types(f.Params) + types(f.Results)
}

func text(fset *token.FileSet, n ast.Node) string {
	var b bytes.Buffer
	if err := printer.Fprint(&b, fset, n); err != nil {
		return fmt.Sprint(err)
	}
	return b.String()
}

// The tests of what is not Linux run in Node, as a system of its own to Go: one that needs no other machine.
func TestBehaviour(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("needs node, to run what is compiled for another system (Debian: apt-get install nodejs): ", err)
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	run := filepath.Join(strings.TrimSpace(string(root)), "lib", "wasm", "go_js_wasm_exec")
	// Without inlining, the standard library is compiled for it in two thirds of the time.
	cmd := exec.Command("go", "test", "-gcflags=all=-l", "-vet=off", "-count=1", "-run", "^TestOther", "-exec", run,
		"rstserver/linger", "rstserver/poller")
	cmd.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("with %s: %v\n%s", node, err, out)
	}
	if strings.Contains(string(out), "no test") {
		t.Errorf("nothing was tested:\n%s", out)
	}
}
