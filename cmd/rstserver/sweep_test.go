package main

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"rstserver/internal/sockdiagtest"
	"rstserver/linger"
	"rstserver/linger/sockdiag"
)

// leaveTimeWait makes n connections that the server closes first.
func (p *process) leaveTimeWait(n int) {
	p.t.Helper()
	for range n {
		c := dial(p.t, p.addr)
		c.send("GET / HTTP/1.0\r\n\r\n")
		c.response("GET")
		c.expectEnd()
		c.Close()
		c.waitPeer("TIME_WAIT", func(s sockdiag.Socket) bool { return s.State == sockdiag.TimeWait })
	}
}

func TestSweep(t *testing.T) {
	sockdiagtest.NeedDestroy(t)
	p := start(t, "--sweep")
	p.leaveTimeWait(3)
	p.stop()
	expectFree(t, p.addr)
	if got := p.stdout.String(); !strings.Contains(got, "  swept             3 destroyed that ordinary closes had left\n") ||
		!strings.Contains(got, "nothing is left, the port is free") {
		t.Errorf("stdout = %s\nwant it to say what was swept", got)
	}
}

// swept is the part of the JSON report that a sweep adds.
func (p *process) swept() (swept struct {
	Swept *struct {
		Destroyed int    `json:"destroyed"`
		Refused   int    `json:"refused"`
		Reason    string `json:"reason"`
	} `json:"swept"`
}) {
	p.t.Helper()
	if err := json.Unmarshal([]byte(p.stdout.lines()[1]), &swept); err != nil {
		p.t.Fatal(err)
	}
	return swept
}

func TestSweepWithoutPrivilege(t *testing.T) {
	needNobody(t)
	p := startOnce(t, asNobody(exec.Command(binary, "--sweep", "--log-format", "json")))
	p.leaveTimeWait(2)
	p.stop() // which is no failure
	rep := p.report()
	s := p.swept().Swept
	if s == nil || s.Destroyed != 0 || s.Refused != 2 || !strings.Contains(s.Reason, "CAP_NET_ADMIN") || rep.Left.Residue[sockdiag.TimeWait] != 2 {
		t.Errorf("swept %+v, residue %s, want 2 refused for want of CAP_NET_ADMIN", s, rep.Left.Residue)
	}
	if err := linger.CheckFree(p.addr); err == nil {
		t.Error("the port is free, although connections are in TIME_WAIT")
	}
}

func TestSweepUnasked(t *testing.T) {
	p := start(t, "--log-format", "json")
	p.leaveTimeWait(1)
	p.stop()
	if s := p.swept().Swept; s != nil || p.report().Left.Residue[sockdiag.TimeWait] != 1 {
		t.Errorf("swept %+v unasked", s)
	}
}
