// Package debian finds programs that tests need, and that a Debian package brings.
package debian

import (
	"os"
	"os/exec"
	"testing"
)

// Needed says that whoever runs the tests has installed what make deps installs: a program that is missing is a failure then.
const Needed = "RSTSERVER_DEPS"

// Program returns the path of a program. Without it the test is skipped, or fails where it has to be there.
func Program(t testing.TB, name, from string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Missing(t, name+" is missing: apt-get install "+from+" installs it, and make deps and make clients all that tests need")
	}
	return path
}

// Missing skips the test for lack of something, or has it fail where that has to be there.
func Missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv(Needed) == "1" {
		t.Fatal(what)
	}
	t.Skip(what)
}
