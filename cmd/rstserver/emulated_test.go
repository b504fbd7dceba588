package main

import (
	"flag"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"rstserver/internal/debian"
)

var emulatedProgram = flag.String("emulated", "", "the static program for arm64 that TestEmulated starts; make dist-check builds one")

// The program for arm64 serves, aborts and drains on a machine of another kind. What it gives the kernel goes through the emulator, which does not know
// all: deploy/README.md says what cannot be seen so.
func TestEmulated(t *testing.T) {
	if *emulatedProgram == "" {
		t.Skip("needs the program for arm64: make dist-check builds it, and runs this")
	}
	emulator := debian.Program(t, "qemu-aarch64", "qemu-user")
	for _, end := range []struct {
		name   string
		signal syscall.Signal
	}{{"abort", syscall.SIGTERM}, {"drain", syscall.SIGQUIT}} {
		t.Run(end.name, func(t *testing.T) {
			p := startOnce(t, exec.Command(emulator, *emulatedProgram, "serve"))
			c := dial(t, p.addr)
			c.expectHello()
			p.signal(end.signal)
			p.exit(0)
			c.expectReset()
			if said := p.stdout.String(); !strings.Contains(said, "by "+end.name+": nothing is left, the port is free") || !strings.Contains(said, "1 idle") {
				t.Errorf("the report:\n%s", said)
			}
		})
	}
}
