package main

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"rstserver/linger/sockdiag"
)

// endReport is the JSON form of a Report, as a program that reads it would write it down.
type endReport struct {
	Mode    string    `json:"mode"`
	Address string    `json:"address"`
	Started time.Time `json:"started_at"`
	Steps   struct {
		Refused  float64 `json:"listener_refused_ms"`
		PortFree float64 `json:"port_free_ms"`
		Verified float64 `json:"verified_ms"`
		Done     float64 `json:"done_ms"`
	} `json:"steps"`
	Connections     map[string]int `json:"connections"`
	AbortedOutside  *int           `json:"aborted_from_outside"`
	HandlersRunning *int           `json:"handlers_running"`
	Left            struct {
		Source   string          `json:"source"`
		Outlived sockdiag.Counts `json:"outlived"`
		Residue  sockdiag.Counts `json:"residue"`
		Others   sockdiag.Counts `json:"others"`
	} `json:"left"`
}

// report is what a process with --log-format=json, which has ended, printed. All that it printed has to be JSON, one object
// a line.
func (p *process) report() (rep endReport) {
	p.t.Helper()
	for name, o := range map[string]*output{"stdout": &p.stdout, "stderr": &p.stderr} {
		for _, line := range o.lines() {
			var object map[string]any
			if line != "" && json.Unmarshal([]byte(line), &object) != nil {
				p.t.Errorf("%s has the line %q, want JSON", name, line)
			}
		}
	}
	lines := p.stdout.lines()
	if len(lines) != 3 || lines[2] != "" {
		p.t.Fatalf("stdout has the lines %q, want two", lines)
	}
	if err := json.Unmarshal([]byte(lines[1]), &rep); err != nil {
		p.t.Fatal(err)
	}
	return rep
}

func TestReportAsJSON(t *testing.T) {
	p := start(t, "--log-format=json")
	before := time.Now()
	dial(t, p.addr).expectHello()
	p.stop()
	rep := p.report()
	if rep.Mode != "abort" || rep.Address != p.addr.String() || rep.Left.Source != "netlink" && rep.Left.Source != "proc" {
		t.Errorf("mode, address, source = %q, %q, %q", rep.Mode, rep.Address, rep.Left.Source)
	}
	if rep.Started.Before(before.Truncate(time.Microsecond)) || rep.Started.After(time.Now()) {
		t.Errorf("started_at = %s, want between %s and now", rep.Started, before)
	}
	if s := rep.Steps; s.Refused <= 0 || s.PortFree < s.Refused || s.Verified < s.PortFree || s.Done < s.Verified {
		t.Errorf("steps = %+v, want all of them in this order", s)
	}
	if rep.AbortedOutside == nil || *rep.AbortedOutside != 0 || rep.HandlersRunning == nil || *rep.HandlersRunning != 0 {
		t.Errorf("aborted_from_outside, handlers_running = %v, %v; want 0", rep.AbortedOutside, rep.HandlersRunning)
	}
	if len(rep.Connections) != 1 || rep.Connections["idle"] != 1 {
		t.Errorf("connections = %v, want 1 idle", rep.Connections)
	}
}

func TestReportAsText(t *testing.T) {
	p := start(t)
	dial(t, p.addr).expectHello()
	p.stop()
	want := regexp.MustCompile(`^listening on http://ADDR
teardown of ADDR by abort: nothing is left, the port is free
  listener refused  +\d+\.\d\d ms
  port free         +\d+\.\d\d ms
  verified          +\d+\.\d\d ms  from (netlink|proc)
  done              +\d+\.\d\d ms
  connections       1 aborted: 1 idle
  handlers running  0
  left, ours        none
  left, residue     none
  left, others      none
$`)
	if got := strings.ReplaceAll(p.stdout.String(), p.addr.String(), "ADDR"); !want.MatchString(got) {
		t.Errorf("stdout = %s\nwant %s", got, want)
	}
}
