package engine

import (
	"os/exec"
	"strings"
	"testing"
)

// With gnet's tag poll_opt the package would crash at the first event, so it does not compile, and says why. What the tag gc_opt
// changes is tested by running these tests with it, as make test does.
func TestPollOptIsRefused(t *testing.T) {
	out, err := exec.Command("go", "build", "-tags", "poll_opt", ".").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "cannot be built with the tag poll_opt: gnet then takes the data of an epoll event for a pointer") {
		t.Errorf("go build -tags poll_opt: %v\n%s", err, out)
	}
}
