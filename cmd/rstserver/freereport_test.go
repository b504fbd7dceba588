package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"rstserver/internal/layout"
	"rstserver/linger/freeport"
	"rstserver/linger/sockdiag"
)

// TestFreeReport makes up the reports that take another kernel, many processes, or luck.
func TestFreeReport(t *testing.T) {
	nginx := freeport.Process{PID: 812, Name: "nginx"}
	many := make([]freeport.Process, 9)
	for i := range many {
		many[i] = freeport.Process{PID: 900 + i, Name: "worker"}
	}
	at := func(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
	inUse := freeport.Verdict{Err: fmt.Errorf("linger: 0.0.0.0:80: bind: %w", syscall.EADDRINUSE)}
	free := freeport.Verdict{Free: true, Bound: []netip.AddrPort{at("0.0.0.0:80"), at("[::]:80")}}
	timeWait := func(n int) sockdiag.Counts { return sockdiag.Counts{sockdiag.TimeWait: n} }
	verdict := func(change func(v *freeport.Verdict)) freeport.Verdict {
		v := inUse
		change(&v)
		return v
	}
	for _, tt := range []struct {
		name   string
		report freeReport
		want   string // of the outcome
	}{
		{"one socket", freeReport{Done: &freeport.Result{Destroyed: 1, Rounds: 1}, After: free}, `destroyed 1 socket
port 80 is free: 0.0.0.0:80 and [::]:80 could be bound without SO_REUSEADDR
`},
		{"one family", freeReport{Done: &freeport.Result{Destroyed: 2}, After: freeport.Verdict{Free: true, Bound: free.Bound[:1]}}, `destroyed 2 sockets
port 80 is free: 0.0.0.0:80 could be bound without SO_REUSEADDR
`},
		{"some had ended", freeReport{Done: &freeport.Result{Destroyed: 1200, Gone: 1}, After: free},
			`destroyed 1,200 sockets; 1 more ended by itself meanwhile
port 80 is free: 0.0.0.0:80 and [::]:80 could be bound without SO_REUSEADDR
`},
		{"a kernel without", freeReport{Done: &freeport.Result{Refused: []freeport.Refused{{Counts: timeWait(1), Err: sockdiag.ErrNotSupported}}},
			After: verdict(func(v *freeport.Verdict) { v.Left = timeWait(1) })},
			`not destroyed: 1 socket (TIME_WAIT 1): this kernel was built without CONFIG_INET_DIAG_DESTROY, so
  only the processes themselves can end their connections; TIME_WAIT ends by itself within 60 s
port 80 is not free:
  1 socket is left: TIME_WAIT 1; it ends within 60 s, and meanwhile a server can listen that sets
    SO_REUSEADDR, if the one before did, as most do
`},
		{"an older kernel", freeReport{Done: &freeport.Result{Destroyed: 3, Refused: []freeport.Refused{{Counts: timeWait(2), Err: sockdiag.ErrTimeWait}}, Survived: 1},
			After: verdict(func(v *freeport.Verdict) { v.Left = timeWait(2) })},
			`destroyed 3 sockets
not destroyed: 2 sockets (TIME_WAIT 2): a kernel before Linux 6.0 does not destroy that; it ends by
  itself within 60 s
the kernel says that it has destroyed 1 socket more and still has it: before Linux 6.11 it does that
  with connections that are closed and have something to send
port 80 is not free:
  2 sockets are left: TIME_WAIT 2; they end within 60 s, and meanwhile a server can listen that sets
    SO_REUSEADDR, if the one before did, as most do
`},
		{"no netlink", freeReport{Done: &freeport.Result{Refused: []freeport.Refused{{Counts: timeWait(1), Err: sockdiag.ErrNoCookie}}},
			After: verdict(func(v *freeport.Verdict) { v.Left = timeWait(1) })},
			`not destroyed: 1 socket (TIME_WAIT 1): the kernel does not answer over netlink here, and /proc does
  not tell sockets well enough apart to destroy them
port 80 is not free:
  1 socket is left: TIME_WAIT 1; it ends within 60 s, and meanwhile a server can listen that sets
    SO_REUSEADDR, if the one before did, as most do
`},
		{"more keep coming", freeReport{Done: &freeport.Result{Destroyed: 500, Rounds: 5, Coming: true},
			After: verdict(func(v *freeport.Verdict) {
				v.Left = sockdiag.Counts{sockdiag.Established: 100}
				v.Holders = []freeport.Holder{{Process: nginx, Local: at("0.0.0.0:80"), State: sockdiag.Listen},
					{Process: nginx, Local: at("[::]:80"), State: sockdiag.Listen}}
			})},
			`destroyed 500 sockets
gave up after 5 rounds: more came each time, as clients come back while somebody listens
port 80 is not free:
  nginx (pid 812) listens on 0.0.0.0:80
    such a socket is never destroyed, as its process would keep the port all the same; SIGTERM is
    sent to the process by:
      rstserver free 80 --stop-owner
  nginx (pid 812) listens on [::]:80
  100 sockets are left: ESTABLISHED 100
`},
		{"a successor", freeReport{plan: &freeport.Plan{StopOwner: true},
			Done: &freeport.Result{Successor: true, Stopped: []freeport.Stopped{{Process: nginx, Signalled: true, LetGo: true},
				{Process: freeport.Process{PID: 1, Name: "systemd"}, Reason: "process 1 is not stopped by this"},
				{Process: freeport.Process{PID: 5}, LetGo: true}}},
			After: verdict(func(v *freeport.Verdict) {
				v.Holders = []freeport.Holder{{Process: many[0], Local: at("0.0.0.0:80"), State: sockdiag.Listen}}
			})},
			`nginx (pid 812) was sent SIGTERM, and has let go of the port
systemd (pid 1) was not sent SIGTERM: process 1 is not stopped by this
pid 5 had let go of the port by itself
somebody else has begun to listen meanwhile: what came to the port since then is left alone
port 80 is not free:
  worker (pid 900) listens on 0.0.0.0:80
`},
		{"only bound", freeReport{After: verdict(func(v *freeport.Verdict) {
			v.Holders = []freeport.Holder{{Process: nginx, Local: at("0.0.0.0:80"), State: sockdiag.Close}}
		})}, `port 80 is not free:
  nginx (pid 812) has bound 0.0.0.0:80
    such a socket is never destroyed, as its process would keep the port all the same; SIGTERM is
    sent to the process by:
      rstserver free 80 --stop-owner
`},
		{"many processes", freeReport{plan: &freeport.Plan{StopOwner: true}, After: verdict(func(v *freeport.Verdict) {
			for _, p := range many {
				v.Holders = append(v.Holders, freeport.Holder{Process: p, Local: at("0.0.0.0:80"), State: sockdiag.Listen})
			}
			v.Holders = append(v.Holders, freeport.Holder{Process: nginx, Local: at("[::1]:80"), State: sockdiag.Close},
				freeport.Holder{Process: many[0], Local: at("[::1]:80"), State: sockdiag.Close})
		})}, `port 80 is not free:
  worker (pid 900), worker (pid 901), worker (pid 902), worker (pid 903), worker (pid 904) and 4
    more listen on 0.0.0.0:80
  nginx (pid 812) and worker (pid 900) have bound [::1]:80
`},
		{"hidden", freeReport{plan: &freeport.Plan{StopOwner: true}, After: verdict(func(v *freeport.Verdict) { v.Hidden = 2 })}, `port 80 is not free:
  processes that cannot be seen from here hold it
    no process has the socket open: the kernel itself does (such as an NFS server), or io_uring;
    what it says of it is:
      ss -tlnpe 'sport = :80'
`},
		{"nothing is listed", freeReport{After: inUse}, `port 80 is not free:
  what has it is not listed: before Linux 6.8 a socket that is bound and does nothing else is not
`},
		{"a low port", freeReport{After: freeport.Verdict{Err: fmt.Errorf("linger: 0.0.0.0:80: bind: %w", syscall.EACCES)}},
			`port 80 could not be verified to be free: to bind a port this low takes root or CAP_NET_BIND_SERVICE
  (linger: 0.0.0.0:80: bind: permission denied)
`},
		{"another failure", freeReport{After: freeport.Verdict{Err: errors.New("too many open files")}},
			`port 80 could not be verified to be free: too many open files
`},
		{"no address", freeReport{}, `port 80: nothing could be bound, as this machine has none of the addresses of --local
`},
		{"declined", freeReport{Declined: true, After: verdict(func(v *freeport.Verdict) { v.Left = timeWait(3) })}, `port 80 is not free:
  3 sockets are on it: TIME_WAIT 3; they end within 60 s, and meanwhile a server can listen that
    sets SO_REUSEADDR, if the one before did, as most do
`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.report.Port = 80
			if tt.report.plan == nil {
				tt.report.plan = &freeport.Plan{}
			}
			got := tt.report.outcome()
			if got != tt.want {
				t.Errorf("outcome:\n%s\nwant:\n%s", got, tt.want)
			}
			for line := range strings.Lines(got) {
				if n := utf8.RuneCountInString(line) - 1; n > layout.Usual {
					t.Errorf("line of %d columns: %s", n, line)
				}
			}
		})
	}

	r := &freeReport{Port: 80, plan: &freeport.Plan{StopOwner: true, Wait: 10 * time.Second},
		Before: freeport.Overview{Owners: many, Selected: timeWait(1)}}
	want := "Send SIGTERM to worker (pid 900), worker (pid 901), worker (pid 902), worker (pid 903), worker (pid 904) and 4 more, " +
		"and destroy what is left of 1 socket (TIME_WAIT 1) after 10s at the most?"
	if got := (freeReports{r}).question(); got != want {
		t.Errorf("question = %q, want %q", got, want)
	}
	r.Before.Selected = sockdiag.Counts{}
	if got, want := (freeReports{r}).question(), "Send SIGTERM to worker (pid 900), worker (pid 901), worker (pid 902), worker (pid 903), worker (pid 904) and 4 more?"; got != want {
		t.Errorf("question = %q, want %q", got, want)
	}
}

// TestFreeOverview has more rows than fit a screen.
func TestFreeOverview(t *testing.T) {
	r := freeReport{Port: 80, plan: &freeport.Plan{}}
	for i := range 50 {
		r.Before.Rows = append(r.Before.Rows, freeport.Row{State: sockdiag.Established, Count: 1000 + i, Selected: i,
			Processes: []freeport.Process{{PID: 100 + i, Name: "\x1b]0;"}}, Local: []netip.Addr{netip.MustParseAddr("::1")}})
	}
	got := r.overview()
	lines := strings.Split(got, "\n")
	if len(lines) != 44 || lines[1] != "  SOCKETS  SELECTED  STATE        PROCESS         LOCAL ADDRESS" ||
		lines[2] != "    1,000         0  ESTABLISHED  ?]0; (pid 100)  ::1" ||
		lines[42] != "  and 10 rows more of other processes and states; --json has all" {
		t.Errorf("overview has %d lines:\n%s", len(lines), got)
	}
}
