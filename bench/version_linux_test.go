//go:build linux

package bench

import (
	"path/filepath"
	"testing"

	"rstserver/internal/lingertest"
)

// A program's version is what stands behind its name, whatever is before and after it.
func TestCommandVersion(t *testing.T) {
	for _, tt := range []struct{ says, before, want string }{
		{"nginx version: nginx/1.22.1", "nginx/", "1.22.1"},
		{"HAProxy version 2.6.12-1+deb12u4 2025/10/04 - https://haproxy.org/\nStatus: long-term", "version ", "2.6.12-1+deb12u4"},
		{"Server version: Apache/2.4.71 (Debian)\nServer built:   2026-07-01", "Apache/", "2.4.71"},
		{"lighttpd/1.4.69 (ssl) - a light and fast webserver", "lighttpd/", "1.4.69"},
		{"gunicorn (version 20.1.0)", "version ", "20.1.0"},
		{"something else", "version ", ""},
	} {
		program := filepath.Join(t.TempDir(), "program")
		script := "#!/bin/sh\n[ \"$1\" = -v ] && cat >&2 <<'END'\n" + tt.says + "\nEND\n"
		lingertest.InstallProgram(t, program, []byte(script))
		if got := commandVersion(program, "-v", tt.before)(); got != tt.want {
			t.Errorf("of %q the version is %q, want %q", tt.says, got, tt.want)
		}
	}
	if got := commandVersion("no-such-program", "-v", "version ")(); got != "" {
		t.Errorf("what is not there has version %q", got)
	}
}
