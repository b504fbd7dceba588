package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"rstserver/internal/lingertest"
)

// Programs that the tests start.
var (
	// binary is the command, built as the tests are: with the race detector, or without. Under -short it is without: a process
	// with it takes a fifth of a second of a processor to start, and they are hundreds. What the command is made of is in packages of its
	// own, which are tested with it in any case.
	binary string
	// foreignServer is testdata/foreign.
	foreignServer string
)

func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getenv(insideEnv) != "" {
		os.Exit(m.Run()) // with what it needs beside it
	}
	// What go test calls it, which tests expect to read, whatever it was built as.
	err := os.WriteFile("/proc/self/comm", []byte("rstserver.test"), 0)
	if err := errors.Join(err, buildAll()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	lingertest.Main(m)
}

func buildAll() error {
	// Programs are started elsewhere too.
	tmp, err := filepath.Abs(os.TempDir())
	if err := errors.Join(err, os.Setenv("TMPDIR", tmp)); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "rstserver-test-")
	if err != nil {
		return err
	}
	if err := removeAtExit(dir); err != nil {
		return err
	}
	// Other users run it too.
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	// The race detector's second at every exit is for goroutines that end late: the command's have ended.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
		return err
	}
	binary, foreignServer = filepath.Join(dir, "rstserver"), filepath.Join(dir, "foreign")
	args := []string{"."}
	if raceEnabled && !testing.Short() {
		args = []string{"-race", "."}
	}
	return errors.Join(build(foreignServer, "./testdata/foreign"), build(binary, args...))
}

func build(program string, args ...string) error {
	// Nobody looks at it with a debugger: without what is for one, half of the linker's work is left.
	if out, err := exec.Command("go", append([]string{"build", "-ldflags=-s -w", "-o", program}, args...)...).CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	// Whatever the umask is, and go build's directories.
	return errors.Join(os.Chmod(program, 0o755), os.Chmod(filepath.Dir(program), 0o755))
}

// removeAtExit removes dir when this process is no more, however it ends: a shell waits for the end of a pipe.
func removeAtExit(dir string) error {
	cmd := exec.Command("sh", "-c", `read -r _; rm -rf "$0"`, dir)
	var err error
	if held, err = cmd.StdinPipe(); err != nil {
		return err
	}
	return cmd.Start()
}

// held is this process's end of that pipe. Nothing but the end of the process closes it.
var held io.Closer
