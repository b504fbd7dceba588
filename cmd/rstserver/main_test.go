package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"rstserver/linger/lingertest"
)

// binary is the command that the tests start, built as the tests are: with the race detector, or without.
var binary string

func TestMain(m *testing.M) {
	if err := build(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	lingertest.Main(m,
		// gnet's pool of workers, which importing it starts.
		goleak.IgnoreTopFunction("github.com/panjf2000/ants/v2.(*poolCommon).purgeStaleWorkers"),
		goleak.IgnoreTopFunction("github.com/panjf2000/ants/v2.(*poolCommon).ticktock"))
}

func build() error {
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
	binary = filepath.Join(dir, "rstserver")
	args := []string{"build", "-o", binary}
	if raceEnabled {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, ".")...).CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// removeAtExit has dir removed when this process is no more, however it ends: a shell waits for the end of a pipe.
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
