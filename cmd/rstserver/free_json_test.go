package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"rstserver/internal/sockdiagtest"
	"rstserver/linger/sockdiag"
)

// freed is the JSON form, as a program that reads it would write it down.
type freed struct {
	Port   uint16 `json:"port"`
	DryRun bool   `json:"dry_run"`
	Before struct {
		Sockets []struct {
			State     string `json:"state"`
			Processes []struct {
				PID  int    `json:"pid"`
				Name string `json:"name"`
			} `json:"processes"`
			Without  string   `json:"without_process"`
			Count    int      `json:"count"`
			Selected int      `json:"selected"`
			Local    []string `json:"local_addresses"`
			Queued   *int     `json:"queued_bytes"`
		} `json:"sockets"`
		Selected  sockdiag.Counts `json:"selected"`
		Elsewhere []struct {
			PID     int             `json:"pid"`
			Sockets sockdiag.Counts `json:"sockets"`
		} `json:"elsewhere"`
	} `json:"before"`
	CannotDestroy string `json:"cannot_destroy"`
	Done          *struct {
		Destroyed int `json:"destroyed"`
		Refused   []struct {
			Reason  string          `json:"reason"`
			Sockets sockdiag.Counts `json:"sockets"`
		} `json:"refused"`
	} `json:"done"`
	After struct {
		Free   bool     `json:"free"`
		Bound  []string `json:"bound"`
		HeldBy []struct {
			PID     int    `json:"pid"`
			Address string `json:"address"`
			State   string `json:"state"`
		} `json:"held_by"`
		Left sockdiag.Counts `json:"left"`
	} `json:"after"`
	Free bool `json:"free"`
}

func (p *process) freed() (f freed) {
	p.t.Helper()
	if err := json.Unmarshal([]byte(p.stdout.String()), &f); err != nil || p.stdout.count("{") != 1 || p.stderr.String() != "" {
		p.t.Fatalf("stdout, stderr = %q, %q, want one line of JSON: %v", p.stdout.String(), p.stderr.String(), err)
	}
	return f
}

func TestFreeAsJSON(t *testing.T) {
	sockdiagtest.NeedDestroy(t)
	p := listen(t, "127.0.0.1")
	p.leave()

	cmd := launch(t, p.free("--json", "--dry-run"))
	cmd.exit(1)
	f := cmd.freed()
	want := sockdiag.Counts{sockdiag.Established: 1, sockdiag.FinWait2: 1, sockdiag.TimeWait: 1}
	if f.Port != p.addr.Port() || !f.DryRun || f.Free || f.After.Free || f.Done != nil || f.Before.Selected != want || f.After.Left != want {
		t.Errorf("dry run = %+v", f)
	}
	if len(f.Before.Sockets) != 4 || f.Before.Sockets[0].State != "listen" || len(f.Before.Sockets[0].Processes) != 1 ||
		f.Before.Sockets[0].Processes[0].PID != os.Getpid() || f.Before.Sockets[3].Without != "closed" ||
		f.Before.Sockets[0].Local[0] != "127.0.0.1" || f.Before.Sockets[1].Queued == nil {
		t.Errorf("sockets = %+v", f.Before.Sockets)
	}
	if len(f.After.HeldBy) != 1 || f.After.HeldBy[0].PID != os.Getpid() || f.After.HeldBy[0].Address != p.addr.String() || f.After.HeldBy[0].State != "listen" {
		t.Errorf("held by %+v, want this test", f.After.HeldBy)
	}

	p.Close()
	cmd = launch(t, p.free("--json", "--yes"))
	cmd.exit(0)
	if f := cmd.freed(); !f.Free || f.Done == nil || f.Done.Destroyed != 3 || len(f.Done.Refused) != 0 || len(f.After.Bound) == 0 || f.After.Left.Total() != 0 {
		t.Errorf("freed = %+v", f)
	}
}

func TestFreeAsJSONWithoutPrivilege(t *testing.T) {
	needNobody(t)
	p := listen(t, "127.0.0.1")
	p.leave()
	cmd := launch(t, asNobody(p.free("--json", "--yes")))
	cmd.exit(1)
	f := cmd.freed()
	if f.Free || len(f.Done.Refused) != 1 || f.Done.Refused[0].Sockets.Total() != 3 || !strings.Contains(f.Done.Refused[0].Reason, "CAP_NET_ADMIN") ||
		!strings.Contains(f.CannotDestroy, "CAP_NET_ADMIN") {
		t.Errorf("freed = %+v, want 3 refused for want of CAP_NET_ADMIN", f)
	}
}
