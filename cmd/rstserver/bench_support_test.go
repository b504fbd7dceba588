package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"rstserver/bench/report"
	"rstserver/internal/layout"
	"rstserver/internal/lingertest"
)

// benchmark is a call of rstserver bench.
type benchmark struct {
	*process
	mark string // in the environment of it and of all that it starts
}

// benchCommandLine is rstserver bench with args, and with a mark of its own.
func benchCommandLine(args ...string) *exec.Cmd {
	cmd := exec.Command(binary, append([]string{"bench"}, args...)...)
	cmd.Env = append(os.Environ(), newMark())
	return cmd
}

func newMark() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b)
	return "RSTSERVER_TEST_MARK=" + hex.EncodeToString(b)
}

// startBench starts a command of benchCommandLine.
func startBench(t testing.TB, cmd *exec.Cmd) *benchmark {
	t.Helper()
	return &benchmark{launch(t, cmd), cmd.Env[len(cmd.Env)-1]}
}

// runBench runs rstserver bench to its end.
func runBench(t testing.TB, args ...string) (b *benchmark, code int) {
	t.Helper()
	b = startBench(t, benchCommandLine(args...))
	return b, b.wait()
}

// started are the processes that run and that the benchmark has started, itself not among them.
func (b *benchmark) started() []string {
	b.t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		b.t.Fatal(err)
	}
	var found []string
	for _, name := range names {
		environment, err := os.ReadFile(name)
		dir := filepath.Dir(name)
		if err != nil || !bytes.Contains(environment, []byte(b.mark)) || filepath.Base(dir) == strconv.Itoa(b.cmd.Process.Pid) {
			continue
		}
		command, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		found = append(found, fmt.Sprintf("pid %s: %q", filepath.Base(dir), command))
	}
	return found
}

// expectNothing expects that nothing is left that the benchmark has started.
func (b *benchmark) expectNothing() {
	b.t.Helper()
	if left := b.started(); len(left) > 0 {
		b.t.Errorf("processes are left: %s", left)
	}
}

// network is a network namespace of which the test knows all sockets, since nobody else is in it.
type network struct {
	t      testing.TB
	tables []*os.File // /proc/net/tcp and tcp6, which stay those of the namespace where they were opened
}

// inNetwork calls start in a network namespace of its own, with a loopback interface, for what is started to be in it.
func inNetwork(t testing.TB, start func()) *network {
	t.Helper()
	needRoot(t, "to make a network namespace")
	n := &network{t: t}
	t.Cleanup(func() {
		for _, f := range n.tables {
			f.Close()
		}
	})
	var failed error
	lingertest.InNewNetwork(t, func() {
		if failed = n.open(); failed == nil {
			start()
		}
	})
	if failed != nil {
		t.Fatal(failed)
	}
	return n
}

func (n *network) open() error {
	if err := lingertest.LoopbackUp(); err != nil {
		return err
	}
	for _, name := range []string{"tcp", "tcp6"} {
		f, err := os.Open("/proc/thread-self/net/" + name)
		if err != nil {
			return err
		}
		n.tables = append(n.tables, f)
	}
	return nil
}

// Some of the states as /proc/net/tcp has them.
const (
	procEstablished = "01"
	procTimeWait    = "06"
	procListen      = "0A"
)

// sockets are the lines of those in one of the states, of all without any. One without a port below those that the kernel gives out
// is none of a measured server: the benchmark chooses these, and rstserver's loops connect to themselves while they start.
func (n *network) sockets(states ...string) []string {
	n.t.Helper()
	var found []string
	for _, f := range n.tables {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			n.t.Fatal(err)
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			fields := strings.Fields(lines.Text())
			if len(fields) < 4 || fields[0] == "sl" {
				continue
			}
			if ephemeral(fields[1]) && ephemeral(fields[2]) {
				continue
			}
			if len(states) == 0 || strings.Contains(strings.Join(states, " "), fields[3]) {
				found = append(found, lines.Text())
			}
		}
	}
	return found
}

// ephemeral reports whether an address of /proc/net/tcp has a port of those that the kernel gives out in a new namespace (ip(7)).
func ephemeral(address string) bool {
	_, port, _ := strings.Cut(address, ":")
	n, err := strconv.ParseUint(port, 16, 16)
	return err == nil && n >= 32768
}

// expectNone expects that there is no socket, of whatever state.
func (n *network) expectNone() {
	n.t.Helper()
	if left := n.sockets(); len(left) > 0 {
		n.t.Errorf("%d sockets are left, the first of them %s", len(left), left[0])
	}
}

// readDocument reads what --json has written.
func readDocument(t testing.TB, name string) *report.Document {
	t.Helper()
	docs, _, err := readDocuments([]string{name}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return docs[0]
}

// readFile is the content of a file.
func readFile(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// expectNarrow expects no line of more than 100 columns, but for a word that is longer.
func expectNarrow(t testing.TB, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > layout.Usual && len(strings.Fields(line)) > 1 {
			t.Errorf("line of %d columns: %s", n, line)
		}
	}
}

// words is text with its line breaks and indentation taken out, for sentences that may be broken anywhere.
func words(text string) string { return strings.Join(strings.Fields(text), " ") }

// foreign is a server that is not this project's, in a directory of its own, and the file that it notes in what happens.
type foreign struct {
	dir, program, diary string
}

func newForeign(t testing.TB) *foreign {
	t.Helper()
	dir := t.TempDir()
	f := &foreign{dir, filepath.Join(dir, "foreign"), filepath.Join(dir, "diary")}
	if err := os.Symlink(foreignServer, f.program); err != nil {
		t.Fatal(err)
	}
	return f
}

// asNobody lets nobody run cmd, which is of benchCommandLine, and this server with it: it can enter the directories, and write there.
func (f *foreign) asNobody(t testing.TB, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	for _, dir := range []string{f.dir, filepath.Dir(f.dir)} {
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	cmd.Env = slices.Insert(cmd.Env, len(cmd.Env)-1, "TMPDIR="+f.dir)
	return asNobody(cmd)
}

// spec is the value of --server for it: keys, and the flags of the program.
func (f *foreign) spec(keys, flags string) string {
	return fmt.Sprintf("%s,path=/hello,cmd='%s' -port {port} -diary '%s' %s", keys, f.program, f.diary, flags)
}

// notes are the lines of the diary so far.
func (f *foreign) notes() []string {
	b, _ := os.ReadFile(f.diary)
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

// waitNote waits for a line of the diary.
func (f *foreign) waitNote(t testing.TB, line string) {
	t.Helper()
	lingertest.Wait(t, "the server's note "+line, func() bool {
		for _, note := range f.notes() {
			if note == line {
				return true
			}
		}
		return false
	})
}
