//go:build linux

package handover

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// pidPath is where the PID file is, whatever the current directory is by now.
func (o Options) pidPath() string {
	if o.PIDFile == "" || filepath.IsAbs(o.PIDFile) {
		return o.PIDFile
	}
	return filepath.Join(startDir, o.PIDFile)
}

// checkPIDFile returns an error if the PID file cannot be written.
func (o Options) checkPIDFile() error {
	path := o.pidPath()
	if path == "" {
		return nil
	}
	if info, err := os.Lstat(path); err == nil && info.IsDir() {
		return fmt.Errorf("handover: the PID file %s is a directory", path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path))
	if err != nil {
		return fmt.Errorf("handover: the PID file %s cannot be written: %w", path, err)
	}
	_ = f.Close()
	return os.Remove(f.Name())
}

func (o Options) writePIDFile() error {
	path := o.pidPath()
	if path == "" {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path))
	if err != nil {
		return fmt.Errorf("handover: the PID file %s cannot be written: %w", path, err)
	}
	_, err = fmt.Fprintln(f, os.Getpid())
	if err == nil {
		err = f.Chmod(0o644) // others read it
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("handover: the PID file %s cannot be written: %w", path, err)
	}
	return nil
}

// removePIDFile removes the PID file, unless it is another process's.
func (o Options) removePIDFile() {
	path := o.pidPath()
	if path == "" {
		return
	}
	if b, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(b)) == strconv.Itoa(os.Getpid()) {
		_ = os.Remove(path)
	}
}
