//go:build linux

package bench

import (
	"fmt"
	"slices"
	"testing"

	"rstserver/bench/internal/kernel"
	"rstserver/bench/kinds"
	"rstserver/bench/report"
	"rstserver/internal/lingertest"
	"rstserver/internal/sockdiagtest"
	"rstserver/linger/sockdiag"
)

// More connections than one process may have descriptors: several processes of clients, and of the server on one port.
func TestSeveralProcesses(t *testing.T) {
	sockdiagtest.NeedDestroy(t)
	if !elsewhere(t, func() error { return nil }, "sh", "-c", `ulimit -n 700 && exec "$@"`, "sh") {
		return
	}
	n, processes := 1_500, 3
	if testing.Short() {
		n, processes = 800, 2
	}
	if limit, err := kernel.LimitOfFiles(); limit != 700 || err != nil {
		t.Fatalf("the limit of open files is %d, %v", limit, err)
	}
	alone := peer("nethttp-close")
	alone.Name, alone.Scaling = "alone", Alone
	cannot := faulty("none")
	c := &Comparison{
		Servers: []Server{peer("floor"), ours(), peer("nethttp-map"), peer("nethttp-close"), cannot, alone},
		N:       []int{n, 50}, Shares: []kinds.Shares{shares("idle")}, Runs: 1, Timeout: patience,
	}
	d := compare(t, c)
	if got := omitted(d.Skipped); !slices.Equal(got, []string{nameAndNumber("alone", n)}) {
		t.Errorf("skipped: %q", got)
	}
	expectReason(t, d.Skipped, "alone", "it is one process, which may have 700 open files here (ulimit -Hn), and cannot share its port with another")
	if got := omitted(d.Failed); !slices.Equal(got, []string{nameAndNumber(cannot.Name, n)}) {
		t.Errorf("failed: %q", got)
	}
	expectReason(t, d.Failed, cannot.Name, "address already in use")
	expectReason(t, d.Failed, cannot.Name, fmt.Sprintf("it is started %d times, for which its listening socket needs SO_REUSEPORT", processes))
	for _, s := range []string{"floor", "rstserver", "nethttp-map"} {
		expectCell(t, d, s, n, processes, map[string]int{"reset": n}, sockdiag.Counts{})
	}
	expectCell(t, d, "nethttp-close", n, processes, map[string]int{"eof": n}, sockdiag.Counts{sockdiag.TimeWait: n})
	// With fewer it is one process, which may be one that could not share.
	for _, s := range []string{"floor", "rstserver", "nethttp-map", cannot.Name} {
		expectCell(t, d, s, 50, 1, map[string]int{"reset": 50}, sockdiag.Counts{})
	}
	lingertest.ExpectNoChildren(t)
}

// compare carries out a comparison that is to come to its end.
func compare(t *testing.T, c *Comparison) *report.Document {
	t.Helper()
	d, err := c.Measure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// omitted is who was left out, each with the number of connections.
func omitted(list []report.Omission) []string {
	var names []string
	for _, o := range list {
		names = append(names, nameAndNumber(o.Server, o.N))
	}
	return names
}

// expectReason expects that a server was left out for a reason that contains want.
func expectReason(t *testing.T, list []report.Omission, server, want string) {
	t.Helper()
	for _, o := range list {
		if o.Server == server {
			var err error = &failure{Err: errorString(o.Reason)}
			lingertest.ExpectError(t, err, want)
			return
		}
	}
	t.Errorf("%s was not left out", server)
}

// isLeft reports whether a server has left what is wanted. A TIME_WAIT that a segment of the client's has ended (RFC 1337), which
// happens to one in a hundred at the most, is missing, and is one RST more.
func isLeft(r report.Run, want sockdiag.Counts) bool {
	got := r.Left[0].States
	missing := want[sockdiag.TimeWait] - got[sockdiag.TimeWait]
	got[sockdiag.TimeWait] = want[sockdiag.TimeWait]
	return got == want && missing >= 0 && missing <= min(int(r.Kernel[kernel.Resets]), want[sockdiag.TimeWait]/100)
}

// expectCell expects runs of a server that all ended alike.
func expectCell(t *testing.T, d *report.Document, server string, n, processes int, endings map[string]int, left sockdiag.Counts) {
	t.Helper()
	i := slices.IndexFunc(d.Cells, func(c report.Cell) bool { return c.Server == server && c.N == n })
	if i < 0 {
		t.Errorf("%s was not measured with %d; failed: %v", server, n, d.Failed)
		return
	}
	cell := d.Cells[i]
	if cell.Processes != processes || cell.Clients != processes || len(cell.Runs) != d.Settings.Runs {
		t.Errorf("%s: %d processes, %d of clients, %d runs; want %d, %d, %d", server, cell.Processes, cell.Clients, len(cell.Runs), processes, processes, d.Settings.Runs)
	}
	for i, r := range cell.Runs {
		if r.Round != i+1 || r.Told == nil || r.Refused == nil || r.Gone == nil || len(r.Exit) != processes {
			t.Errorf("%s: round %d, told after %v, refused after %v, gone after %v with %q", server, r.Round, r.Told, r.Refused, r.Gone, r.Exit)
		}
		got := r.Left[0].States
		if r.Free == nil != (left.Total() > 0) || !isLeft(r, left) || r.Cleaned != got.Total() {
			t.Errorf("%s: free after %v, left %s, %d cleaned; want %s", server, r.Free, got, r.Cleaned, left)
		}
		if r.CPU == 0 || r.User > r.CPU || r.Anonymous == 0 || r.Anonymous >= r.Resident || r.Clients == 0 || r.TakenIn == 0 {
			t.Errorf("%s: processor time %s, %s of it in user mode; %d bytes of %d anonymous, %d of the clients", server, r.CPU, r.User, r.Anonymous, r.Resident, r.Clients)
		}
		expectTally(t, server, r.Endings, endings)
	}
}
