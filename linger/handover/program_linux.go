//go:build linux

package handover

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// What the program was started by, and where: both are asked for before anybody can call os.Chdir.
var (
	startDir, startDirErr         = os.Getwd()
	startProgram, startProgramErr = findProgram()
)

// findProgram returns the path that this program was started by. Links in it stay, as they may lead to the next version by the time that
// it is used.
func findProgram() (string, error) {
	path := os.Args[0]
	if !strings.Contains(path, "/") {
		found, err := exec.LookPath(path)
		if err != nil {
			return os.Executable() // it was started by another name than its own
		}
		path = found
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(startDir, path)
	}
	if _, err := os.Stat(path); err != nil {
		return os.Executable() // likewise
	}
	return path, startDirErr
}

// checkProgram returns an error that says why a successor could not be started, if that can be seen.
func checkProgram() error {
	if err := errors.Join(startProgramErr, startDirErr); err != nil {
		return fmt.Errorf("handover: it is not known what this program was started by: %w", err)
	}
	info, err := os.Stat(startProgram)
	switch {
	case err != nil:
		return fmt.Errorf("handover: the program file is gone, so there is no successor to start: put it back: %w", err)
	case !info.Mode().IsRegular() || info.Mode()&0o111 == 0:
		return fmt.Errorf("handover: %s is not a program (%s): put it back, and make it executable", startProgram, info.Mode())
	}
	if err := unix.Access(startProgram, unix.X_OK); err != nil {
		return fmt.Errorf("handover: %s may not be executed: %w", startProgram, err)
	}
	if info, err := os.Stat(startDir); err != nil || !info.IsDir() {
		return fmt.Errorf("handover: the directory that this program was started in, %s, is gone: put it back (%v)", startDir, err)
	}
	return nil
}

// The environment has a process of this program's old file be the parent of a successor, or begin as one and execute the new file, which the
// value names: see attend and begin.
const (
	parentEnv = "LINGER_HANDOVER_PARENT"
	execEnv   = "LINGER_HANDOVER_EXEC"
)

func init() {
	if os.Getuid() != os.Geteuid() || os.Getgid() != os.Getegid() {
		return // whoever has set this is another
	}
	if path := os.Getenv(parentEnv); path != "" {
		attend(path)
	}
	if path := os.Getenv(execEnv); path != "" {
		begin(path)
	}
}

// attend is the parent of a successor until that is ready. It says how its child ends, which only a parent learns. When the predecessor has agreed
// it kills this process, so that the successor has the same parent as any orphan: the init, or systemd, which supervises its own
// children only.
func attend(path string) {
	in, err := readInheritance()
	if err != nil || in == nil {
		os.Exit(127)
	}
	control := os.NewFile(uintptr(in.last()+1), "control")
	var files []uintptr
	for fd := range in.last() + 1 {
		files = append(files, uintptr(fd))
	}
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, parentEnv+"=") })
	pid, _, err := syscall.StartProcess("/proc/self/exe", os.Args, &syscall.ProcAttr{Env: append(env, execEnv+"="+path), Files: files})
	if err != nil {
		in.giveReason(fmt.Errorf("starting %s: %w", path, err))
		os.Exit(127)
	}
	for _, fd := range files[3:] {
		_ = unix.Close(int(fd))
	}
	fmt.Fprint(control, message{started, strconv.Itoa(pid)})
	go func() { // a predecessor that dies leaves the successor alone
		_, _ = io.Copy(io.Discard, control)
		os.Exit(0)
	}()
	child, err := os.FindProcess(pid)
	if err == nil {
		var how *os.ProcessState
		if how, err = child.Wait(); err == nil {
			fmt.Fprint(control, message{ended, how.String()})
		}
	}
	os.Exit(0)
}

// begin is how a successor begins. Its number is known here, and descriptors can be dealt with, which a program between fork and exec
// cannot do.
func begin(path string) {
	in, err := readInheritance()
	if err != nil || in == nil {
		os.Exit(127)
	}
	if err = closeOthers(in); err == nil {
		var env []string
		for _, v := range os.Environ() {
			switch name, _, _ := strings.Cut(v, "="); name {
			case execEnv:
			case "WATCHDOG_PID", "LISTEN_PID":
				env = append(env, name+"="+strconv.Itoa(os.Getpid()))
			default:
				env = append(env, v)
			}
		}
		for start := time.Now(); ; time.Sleep(busyInterval) {
			err = unix.Exec(path, os.Args, env)
			// The file is being written, or another process is between fork and exec with a descriptor for writing.
			if err != unix.ETXTBSY || time.Since(start) > busyPatience {
				break
			}
		}
		err = fmt.Errorf("cannot execute %s: %w", path, err)
	}
	in.giveReason(err)
	os.Exit(127)
}

// A file that is busy for longer than busyPatience is taken for one that is being written.
const (
	busyInterval = 10 * time.Millisecond
	busyPatience = time.Second
)

// closeOthers makes exec close every descriptor that is not in, and is not one of the first three.
func closeOthers(in *inheritance) error {
	const dir = "/proc/self/fd"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("descriptors cannot be found: %w", err)
	}
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > in.last() {
			syscall.CloseOnExec(fd)
		}
	}
	return nil
}
