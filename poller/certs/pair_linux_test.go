//go:build linux

package certs_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
	"rstserver/poller/certs"
)

// TestFIFO loads a key that comes out of a pipe, as a shell's <(...) does: it would be waited for, and is gone once it was read.
func TestFIFO(t *testing.T) {
	p := pairIn(t.TempDir())
	put(t, p, issue(t, nil, "a.test"))
	must(t, os.Remove(p.Key))
	must(t, unix.Mkfifo(p.Key, 0o600))
	if _, err := certs.Load(p); err == nil || !strings.Contains(err.Error(), p.Key+" is no regular file") {
		t.Errorf("error = %v, want it to say what is no file", err)
	}
}

// TestNoPermission loads a key that is not for the user who is to serve with it.
func TestNoPermission(t *testing.T) {
	dir := t.TempDir()
	for name := dir; name != os.TempDir(); name = filepath.Dir(name) {
		must(t, os.Chmod(name, 0o755))
	}
	p := pairIn(dir)
	put(t, p, issue(t, nil, "a.test"))
	must(t, os.Chmod(p.Cert, 0o644))
	lingertest.AsNobody(t, func() {
		_, err := certs.Load(p)
		if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), p.Key) {
			t.Errorf("error = %v, want that the permission for %s is missing", err, p.Key)
		}
	})
}
