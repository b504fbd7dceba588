package report

import (
	"fmt"
	"math/rand/v2"
	"time"

	"rstserver/linger/sockdiag"
)

// manner is how a server of the samples behaves.
type manner struct {
	server    Server
	perClient time.Duration // of the teardown, for each connection
	base      time.Duration
	leaves    sockdiag.State // of each connection on the port; Unknown: nothing is left
	ending    string
	scatter   float64 // greatest deviation, as a share
	hangs     bool    // is killed at the timeout, and tells nobody
	limit     int     // fails with more connections; 0: does not
}

// manners are those of the servers that the benchmark is for.
func manners() []manner {
	return []manner{
		{server: Server{"rstserver", Ours, "every connection is reset", []string{"rstserver", "--addr", "127.0.0.1:{port}"}, "SIGTERM", "0.1"},
			perClient: 6 * time.Microsecond, base: 300 * time.Microsecond, ending: "reset", scatter: 0.1},
		{server: Server{"rstserver, SIGKILL", Ours, "the kernel resets what is armed", nil, "SIGKILL", "0.1"},
			perClient: 10 * time.Microsecond, base: 500 * time.Microsecond, ending: "reset", scatter: 0.1},
		{server: Server{"floor, AF_UNSPEC", Floor, "epoll and bare system calls", nil, "SIGTERM", ""},
			perClient: 5 * time.Microsecond, base: 200 * time.Microsecond, ending: "reset", scatter: 0.1},
		{server: Server{"floor, SO_LINGER", Floor, "epoll, SO_LINGER and close", nil, "SIGTERM", ""},
			perClient: 8 * time.Microsecond, base: 200 * time.Microsecond, ending: "reset", scatter: 0.1},
		{server: Server{"net/http, SetLinger(0)", Peer, "with a map of connections", nil, "SIGTERM", "go1.26.8"},
			perClient: 27 * time.Microsecond, base: time.Millisecond, ending: "reset", scatter: 0.15},
		{server: Server{"net/http Close", Peer, "", nil, "SIGTERM", "go1.26.8"},
			perClient: 20 * time.Microsecond, base: time.Millisecond, leaves: sockdiag.TimeWait, ending: "eof", scatter: 0.2},
		{server: Server{"nginx", Peer, "", []string{"nginx", "-g", "daemon off;"}, "SIGTERM", "1.22.1"},
			perClient: 16 * time.Microsecond, base: 3 * time.Millisecond, leaves: sockdiag.TimeWait, ending: "eof", scatter: 0.9},
		{server: Server{"node, server.close()", Peer, "waits for its clients", nil, "SIGTERM", "20.20.2"},
			leaves: sockdiag.Established, hangs: true, limit: 15000},
	}
}

// sample is a Document as the benchmark makes it. It is the same for the same seed.
func sample(seed uint64, manners []manner, ns []int, mixes []string, runs int) *Document {
	rng := rand.New(rand.NewPCG(seed, 0))
	began := time.Date(2026, 3, 9, 14, 5, 0, 0, time.UTC)
	d := &Document{
		Version: Version,
		Command: []string{"rstserver", "bench", "--n", fmt.Sprint(ns), "--runs", fmt.Sprint(runs)},
		Program: "rstserver 0.1", Began: began, Took: 12*time.Minute + 3*time.Second,
		Machine: Machine{
			OS: "Debian GNU/Linux 12 (bookworm)", Kernel: "6.18.5", Arch: "amd64", Processor: "Some Processor @ 2.10GHz", Processors: 2,
			Memory: 8 << 30, OpenFiles: 20000, Load: "0.45 0.22 0.88", GoVersion: "go1.26.8",
			Sysctl: map[string]string{"net.ipv4.tcp_max_tw_buckets": "32768", "net.ipv4.tcp_tw_reuse": "2"},
		},
		Settings: Settings{Runs: runs, Settle: time.Second, Timeout: 10 * time.Second, Late: 2 * time.Second, Probe: 500 * time.Microsecond},
	}
	for _, m := range manners {
		d.Servers = append(d.Servers, m.server)
	}
	for _, mix := range mixes {
		for _, n := range ns {
			for _, m := range manners {
				if m.limit > 0 && n > m.limit {
					d.Failed = append(d.Failed, Omission{m.server.Name, n, mix, 1, "opened 14,321 connections and no more: give it more descriptors"})
					continue
				}
				c := Cell{Server: m.server.Name, N: n, Mix: mix, Processes: 1, Clients: 1 + n/20000}
				for round := range runs {
					c.Runs = append(c.Runs, m.run(rng, d, n, mix, round+1))
				}
				d.Cells = append(d.Cells, c)
			}
		}
	}
	return d
}

// run is one teardown of a server of that manner.
func (m manner) run(rng *rand.Rand, d *Document, n int, mix string, round int) Run {
	vary := func(t time.Duration) time.Duration {
		return time.Duration(float64(t) * (1 + m.scatter*rng.Float64()*rng.Float64()*2))
	}
	moment := func(t time.Duration) *Moment { return &Moment{At: t, Before: t - 400*time.Microsecond} }
	whole := vary(m.base + time.Duration(n)*m.perClient)
	settle := d.Settings.Settle
	r := Run{
		Round: round, At: d.Began.Add(time.Duration(round) * time.Minute), Open: time.Duration(n) * 80 * time.Microsecond,
		Refused: moment(450*time.Microsecond + vary(100*time.Microsecond)), CPU: whole * 3 / 2, Resident: 8<<20 + int64(n)*2048,
		TakenIn: 2 * whole, User: whole / 4, SoftIRQ: whole / 2, Anonymous: int64(n) * 1024, Clients: int64(n) * 512, KernelMemory: int64(n) * 6500, Queues: 1 << 20,
		Endings: map[string]int{}, ByKind: map[string]map[string]int{}, Kernel: map[string]int64{"TCPAbortOnData": int64(n)},
	}
	if m.server.Role == Floor && m.leaves == sockdiag.Unknown && mix == "idle" {
		r.Pair = time.Duration(n) * 60 * time.Microsecond
	}
	kinds := map[string]int{mix: n}
	if mix != "idle" {
		kinds = map[string]int{"idle": n - n/5, "in-flight": n / 5}
	}
	var left sockdiag.Counts
	if m.leaves != sockdiag.Unknown {
		left[m.leaves] = n
	}
	r.Left = []Left{{At: whole + 3*time.Millisecond, States: left}}
	if m.leaves != sockdiag.Unknown {
		r.Left = append(r.Left, Left{At: settle / 2, States: left}, Left{At: settle, States: left})
	} else {
		r.Free = moment(whole)
	}
	ending := m.ending
	if m.hangs {
		ending = "untold"
		r.CPU, r.User = 0, 0
		r.Exit = []string{"SIGKILL"}
		r.Holders = []string{"node (4711)"}
	} else {
		told, gone := whole*6/5, whole*3/2
		r.Told, r.Gone, r.Exit = &told, &gone, []string{"exit code 0"}
		for i, told := 0, 0; told < n; i++ {
			step := min(n-told, max(1, n/50))
			told += step
			r.Curve = append(r.Curve, Step{At: whole/4 + (*r.Told-whole/4)*time.Duration(told)/time.Duration(n), Ending: ending, N: step})
		}
	}
	for kind, n := range kinds {
		if n > 0 {
			r.ByKind[kind] = map[string]int{ending: n}
			r.Endings[ending] += n
		}
	}
	return r
}

// wire is what was on the wire in a run like r, in which everything takes somewhat longer.
func (m manner) wire(r Run, n int) Run {
	w := &Wire{Curve: []Step{}}
	if r.Told != nil {
		by := map[string]string{"reset": "RST", "eof": "FIN"}[m.ending]
		for _, s := range r.Curve {
			w.Curve = append(w.Curve, Step{At: s.At, Ending: by, N: s.N})
		}
		last := *r.Told - 37*time.Microsecond
		w.Last = &last
	}
	r.Wire = w
	return r
}

const mixed = "80 % idle, 20 % in-flight"

// wired is a document in which all servers have runs with the wire seen. One server lost segments in one run, and one was not measured to the end.
func wired(mixes ...string) *Document {
	all := manners()
	d := sample(5, all, []int{10000, 14000}, mixes, 3)
	d.Settings.Wire = 3
	rng := rand.New(rand.NewPCG(6, 0))
	for i := range d.Cells {
		c := &d.Cells[i]
		m := all[i%len(all)]
		for round := range 3 {
			c.Wired = append(c.Wired, m.wire(m.run(rng, d, c.N, c.Mix, 3+round+1), c.N))
		}
		switch c.Server {
		case "net/http Close":
			w := c.Wired[1].Wire
			w.Last, w.Dropped, w.Curve = nil, 7, w.Curve[:len(w.Curve)-1]
		case "nginx":
			c.Wired = c.Wired[:2]
		}
	}
	return d
}

// unwired is what there is where the wire cannot be seen.
func unwired() *Document {
	d := usual()
	d.Settings.Wire = 2
	d.Unwired = "needs CAP_NET_RAW"
	return d
}

// usual is what one call measures; large is the most that a page has to show.
func usual() *Document { return sample(1, manners(), []int{10000}, []string{"idle"}, 5) }

// grown is a document of two mixes of three sizes, with all that can be told beside the figures.
func grown() *Document {
	d := sample(4, manners(), []int{100, 10000, 19000}, []string{"idle", mixed}, 5)
	for i := range d.Cells[:8] {
		for j := range d.Cells[i].Runs {
			if (i+j)%4 == 0 {
				d.Cells[i].Runs[j].Free = nil
			}
		}
	}
	d.Cells[9].Runs = d.Cells[9].Runs[:4]
	d.Skipped = []Omission{{Server: "haproxy", Reason: "not installed; Debian: apt-get install haproxy"}}
	d.Warnings = []string{"the load of the machine was 1.9 before the first run: use a quieter machine"}
	return d
}

func large() *Document {
	all := manners()
	for i := range 17 {
		m := all[4+i%3]
		m.server.Name = fmt.Sprintf("peer %d of many", i+1)
		m.perClient += time.Duration(i*i) * 300 * time.Nanosecond
		all = append(all, m)
	}
	d := sample(2, all, []int{10, 100, 1000, 5000, 10000, 19000}, []string{"idle", mixed}, 3)
	d.Skipped = []Omission{{Server: "haproxy", Reason: "not installed; Debian: apt-get install haproxy"}}
	d.Warnings = []string{"the load of the machine was 1.9 before the first run: use a quieter machine"}
	return d
}

// nasty is a document of what must not break a table or a page: names and figures of any length, states and endings of all kinds, and runs
// in which nearly everything is missing.
func nasty() *Document {
	names := []string{
		"</script><script>alert(1)</script>", "a|b `c` *d* _e_ [f](http://example.com/) <b>&amp;", "two\nlines\x1b[31m",
		"averylongnameofaserverwithoutanyblankinitthatonehastobreaksomewhere_averylongnameofaserver", "服务器服务器服务器服务器服务器服务器",
		"a very long name of a server with many blanks in it, more than anybody would ever want to type again", "",
	}
	all := manners()
	for i := range all {
		if i < len(names) {
			all[i].server.Name = names[i]
		}
	}
	d := sample(3, all, []int{1, 95000, 1000000}, []string{"idle", mixed, "a|mix <i>of\tits own"}, 5)
	for i := range d.Cells {
		c := &d.Cells[i]
		for j := range c.Runs {
			r := &c.Runs[j]
			if (i+j)%3 == 0 {
				c.Wired = append(c.Wired, all[i%len(all)].wire(*r, c.N))
				c.Wired = append(c.Wired, Run{Wire: &Wire{Curve: []Step{{1, "</b>|", 1_000_000}, {2, "RST", 1_000_000}}, Dropped: 123_456_789}}, Run{})
			}
			switch (i + j) % 7 {
			case 0:
				for state := range r.Left[0].States {
					r.Left[0].States[state] = 95000 + i*1000 + j*state
				}
			case 1:
				r.Endings = map[string]int{"reset": 12345, "eof": 23456, "answered": 34567, "failed": 45678, "untold": 56789, "</b>|": 1}
			case 2:
				r.Free, r.Told, r.Refused, r.Gone = nil, nil, nil, nil
				r.Left, r.Curve, r.Exit = nil, nil, []string{"exit code 139", "SIGSEGV", "exit code 1"}
			case 3:
				if r.Free != nil {
					r.Free.At *= 100000
					told := *r.Told * 100000
					r.Told = &told
				}
			}
		}
	}
	d.Cells = append(d.Cells, Cell{Server: "not listed, without a run", N: 95000, Mix: "idle"})
	d.Interrupted = true
	d.Unwired = names[3] + " | </script>"
	d.Machine.Processor = "|<script>"
	d.Command = append(d.Command, "it's", "", "a|b", "$HOME")
	d.Skipped = []Omission{{Server: names[0], Reason: "why | not\n</script>"}, {Server: names[3], N: 7, Mix: mixed, Reason: names[5]}}
	return d
}

// empty is what there is of a call that was interrupted at once.
func empty() *Document { return &Document{Version: Version, Interrupted: true} }
