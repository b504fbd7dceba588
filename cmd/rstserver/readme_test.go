package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"rstserver/internal/lingertest"
	"rstserver/internal/sockdiagtest"
)

// Tests of the texts: what they show is what the code is, and their links lead somewhere.

const root = "../.."

var update = flag.Bool("update", false, "write the parts of the README files that are made of the code")

func readText(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, name))
	lingertest.Must(t, err)
	return string(b)
}

// texts are all Markdown files, by their paths in the repository.
func texts(t *testing.T) (names []string) {
	t.Helper()
	lingertest.Must(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(root, path)
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules" || d.Name() == "testdata" || name == "bin"):
			return fs.SkipDir
		case filepath.Ext(name) == ".md":
			names = append(names, name)
		}
		return nil
	}))
	return names
}

// TestReadmeProgram runs the README's program, and ends it as it says.
func TestReadmeProgram(t *testing.T) {
	t.Parallel()
	_, program, found := strings.Cut(readText(t, "README.md"), "```go\n")
	program, _, ended := strings.Cut(program, "```\n")
	const address = `"127.0.0.1:8080"`
	if !found || !ended || strings.Count(program, address) != 1 {
		t.Fatalf("README.md has no Go program that listens on %s", address)
	}
	dir := t.TempDir()
	binary := filepath.Join(dir, "program")
	buildProgram(t, binary, strings.Replace(program, address, "os.Args[1]", 1))

	addr := sockdiagtest.OwnAddr(t, "127.0.0.1:0")
	var out bytes.Buffer
	cmd := exec.Command(binary, addr)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &out
	lingertest.Must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	var client net.Conn
	lingertest.Wait(t, "the program to listen", func() (listens bool) {
		var err error
		client, err = net.Dial("tcp", addr)
		return err == nil
	})
	defer client.Close()
	lingertest.Must(t, client.SetDeadline(time.Now().Add(lingertest.Patience)))
	fmt.Fprint(client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	answer := make([]byte, 1<<16)
	n, err := client.Read(answer)
	if err != nil || !bytes.HasPrefix(answer[:n], []byte("HTTP/1.1 200 ")) {
		t.Fatalf("it answers %q, %v", answer[:n], err)
	}
	lingertest.Must(t, cmd.Process.Signal(syscall.SIGTERM))
	for err == nil {
		_, err = client.Read(answer)
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("its client reads %v, want ECONNRESET", err)
	}
	if err := cmd.Wait(); err != nil || !strings.Contains(out.String(), "nothing is left, the port is free") {
		t.Errorf("it ends with %v, and says %q", err, out.String())
	}
}

func buildProgram(t *testing.T, binary, program string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "main.go")
	lingertest.Must(t, os.WriteFile(file, []byte(program), 0o600))
	if out, err := exec.Command("go", "build", "-ldflags=-s -w", "-o", binary, file).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestReadmePrograms builds the programs of the other texts.
func TestReadmePrograms(t *testing.T) {
	t.Parallel()
	programs := regexp.MustCompile("(?ms)^```go\n(package main\n.*?)^```$")
	for _, name := range texts(t) {
		if name == "README.md" {
			continue // TestReadmeProgram
		}
		for _, m := range programs.FindAllStringSubmatch(readText(t, name), -1) {
			t.Run(name, func(t *testing.T) { buildProgram(t, filepath.Join(t.TempDir(), "program"), m[1]) })
		}
	}
}

// made is a part of a text that is made: of what, and what there is at present.
var made = regexp.MustCompile(`(?s)<!-- (flags|source|drawing) ([^>]+) -->\n(.*?)<!-- end -->\n`)

// TestReadmeParts compares what the texts show of the code with the code: flags, examples and drawings. With -update it writes them.
func TestReadmeParts(t *testing.T) {
	shown := make(map[string]bool)
	for _, name := range texts(t) {
		text := readText(t, name)
		now := made.ReplaceAllStringFunc(text, func(part string) string {
			m := made.FindStringSubmatch(part)
			shown[m[1]+" "+m[2]] = true
			return fmt.Sprintf("<!-- %s %s -->\n%s<!-- end -->\n", m[1], m[2], makePart(t, m[1], strings.Fields(m[2])))
		})
		switch {
		case now == text:
		case *update:
			lingertest.Must(t, os.WriteFile(filepath.Join(root, name), []byte(now), 0o644))
		default:
			t.Errorf("%s does not show what the code is: go test ./cmd/rstserver -run ReadmeParts -update writes it anew", name)
		}
	}
	for _, command := range []string{"serve", "free", "bench", "connections", "drain", "limits"} {
		if !shown["flags "+command] {
			t.Errorf("no text shows the flags of %s", command)
		}
	}
	for _, command := range []string{"release", "abort", "handover"} {
		if flagTable(t, command) != flagTable(t, "drain") {
			t.Errorf("%s has other flags than drain, whose table stands for it", command)
		}
	}
}

func makePart(t *testing.T, kind string, of []string) string {
	t.Helper()
	switch {
	case kind == "flags" && len(of) == 1:
		return flagTable(t, of[0])
	case kind == "source" && len(of) == 2:
		return "```go\n" + exampleBody(t, of[0], of[1]) + "```\n"
	case kind == "drawing" && len(of) == 2:
		return drawing(t, of[0], of[1])
	}
	t.Fatalf("nothing is known to make %s of %q", kind, of)
	return ""
}

// flagTable is the flags of a command as a table, of its help.
func flagTable(t *testing.T, command string) string {
	t.Helper()
	var help strings.Builder
	if code := run([]string{command, "--help"}, &help, &help); code != exitOK {
		t.Fatalf("%s --help exits with %d", command, code)
	}
	_, flags, found := strings.Cut(help.String(), "\nFlags:\n")
	if !found {
		t.Fatalf("the help of %s has no flags", command)
	}
	var table strings.Builder
	table.WriteString("| flag | default | |\n| --- | --- | --- |\n")
	var name string
	var words []string
	write := func() {
		if name != "" && name != "-h, --help" {
			text, def, _ := strings.Cut(strings.Join(words, " "), "Default: ")
			text = regexp.MustCompile(`--[a-z][a-z0-9-]*`).ReplaceAllString(strings.TrimSpace(text), "`$0`")
			fmt.Fprintf(&table, "| `%s` | %s | %s |\n", pipe(name), pipe(strings.TrimSuffix(def, ".")), pipe(text))
		}
	}
	begins := regexp.MustCompile(`^ {2}(?:-[a-z], | {4})(--\S+)(?: +(.*))?$`)
	for line := range strings.Lines(flags) {
		line = strings.TrimRight(line, "\n")
		if m := begins.FindStringSubmatch(line); m != nil {
			write()
			name, words = strings.Replace(strings.TrimSpace(line[:6])+" "+m[1], "=", " ", 1), strings.Fields(m[2])
			name = strings.TrimSpace(name)
		} else {
			words = append(words, strings.Fields(line)...)
		}
	}
	write()
	return table.String()
}

// pipe is s in a cell of a table.
func pipe(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

func parseSource(t *testing.T, file string) (*token.FileSet, *ast.File) {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, filepath.Join(root, file), nil, parser.ParseComments)
	lingertest.Must(t, err)
	return fset, f
}

// exampleBody is what stands in an example, which has an output and so runs with the tests.
func exampleBody(t *testing.T, file, name string) string {
	t.Helper()
	fset, f := parseSource(t, file)
	source := readText(t, file)
	for _, decl := range f.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok || fn.Name.Name != name {
			continue
		}
		body := source[fset.Position(fn.Body.Lbrace).Offset+1 : fset.Position(fn.Body.Rbrace).Offset]
		if !strings.Contains(body, "// Output:\n") {
			t.Errorf("%s of %s has no output, so no test runs it", name, file)
		}
		formatted, err := format.Source([]byte(body))
		lingertest.Must(t, err)
		lines := strings.Split(strings.Trim(string(formatted), "\n"), "\n")
		for i, line := range lines {
			lines[i] = strings.TrimPrefix(line, "\t")
		}
		return strings.Join(lines, "\n") + "\n"
	}
	t.Fatalf("%s has no %s", file, name)
	return ""
}

// drawing is what is indented in the comment of a type.
func drawing(t *testing.T, file, name string) string {
	t.Helper()
	_, f := parseSource(t, file)
	var b strings.Builder
	for _, decl := range f.Decls {
		if d, ok := decl.(*ast.GenDecl); ok && d.Tok == token.TYPE && d.Specs[0].(*ast.TypeSpec).Name.Name == name {
			for line := range strings.Lines(d.Doc.Text()) {
				if indented, ok := strings.CutPrefix(line, "\t"); ok {
					b.WriteString("    " + indented)
				}
			}
		}
	}
	if b.Len() == 0 {
		t.Fatalf("%s has no type %s with a drawing in its comment", file, name)
	}
	return b.String()
}

// TestReadmeLinks follows the links between the texts, and from them into the repository.
func TestReadmeLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	anchors := make(map[string]map[string]bool)
	for _, name := range texts(t) {
		anchors[name] = anchorsOf(readText(t, name))
	}
	for name := range anchors {
		for _, m := range link.FindAllStringSubmatch(withoutCode(readText(t, name)), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			file, anchor, anchored := strings.Cut(m[1], "#")
			target := name
			if file != "" {
				target = filepath.Join(filepath.Dir(name), file)
			}
			info, err := os.Stat(filepath.Join(root, target))
			switch {
			case err != nil:
				t.Errorf("%s links %s: %v", name, m[1], err)
			case anchored && info.IsDir():
				t.Errorf("%s links %s, which is a directory", name, m[1])
			case anchored && !anchors[target][anchor]:
				t.Errorf("%s links %s, and %s has no such heading", name, m[1], target)
			}
		}
	}
}

// TestReadmeTests looks for the tests that the texts name.
func TestReadmeTests(t *testing.T) {
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	there := make(map[string]bool)
	lingertest.Must(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		for _, m := range declared.FindAllSubmatch(b, -1) {
			there[string(m[1])] = true
		}
		return err
	}))
	for _, name := range texts(t) {
		for _, m := range regexp.MustCompile("`((?:Test|Fuzz)\\w+)`").FindAllStringSubmatch(readText(t, name), -1) {
			if !there[m[1]] {
				t.Errorf("%s names %s, which no package has", name, m[1])
			}
		}
	}
}

// TestReadmeIsShort holds the first text to what is read in five minutes: the rest has its rooms.
func TestReadmeIsShort(t *testing.T) {
	const most = 9000
	if n := len(readText(t, "README.md")); n > most {
		t.Errorf("README.md has %d bytes, more than %d: what is not for everybody belongs to the README of its folder", n, most)
	}
}

// withoutCode is Markdown without its blocks of code, in which brackets are Go's.
func withoutCode(text string) string {
	return regexp.MustCompile("(?ms)^```.*?^```$|^ {4}[^\n]*$").ReplaceAllString(text, "")
}

// anchorsOf are what links to the headings of a text end in, as GitHub makes it of them.
func anchorsOf(text string) map[string]bool {
	anchors := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^#{1,6} (.*)$`).FindAllStringSubmatch(withoutCode(text), -1) {
		slug := strings.ReplaceAll(regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")
		unique := slug
		for i := 1; anchors[unique]; i++ {
			unique = fmt.Sprintf("%s-%d", slug, i)
		}
		anchors[unique] = true
	}
	return anchors
}

// TestReleaseNotes compares the notes of the first release with the module. They are an annotated tag's message, of which git drops lines
// that begin with #.
func TestReleaseNotes(t *testing.T) {
	const name = ".github/RELEASE-v0.1.0.md"
	notes := readText(t, name)
	for line := range strings.Lines(notes) {
		if strings.HasPrefix(line, "#") {
			t.Errorf("git tag -F %s drops the line %q", name, line)
		}
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(readText(t, "go.mod"))
	if version == nil || !strings.Contains(notes, "\nGo "+version[1]+" or newer") {
		t.Errorf("%s does not say that go.mod asks for Go %v", name, version)
	}
	asked := make(map[string]bool) // of the kernel, by the code
	constant := regexp.MustCompile(`\bunix\.(\w+)`)
	lingertest.Must(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		for _, m := range constant.FindAllSubmatch(b, -1) {
			asked[string(m[1])] = true
		}
		return err
	}))
	for _, m := range regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(notes, -1) {
		if !asked[m[1]] {
			t.Errorf("%s names %s, which no code asks the kernel for", name, m[1])
		}
	}
}
