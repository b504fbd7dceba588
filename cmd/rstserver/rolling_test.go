package main

import (
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"rstserver/internal/lingertest"
	"rstserver/internal/restartload"
)

// cluster is what stands between clients and instances: HAProxy that forwards connections to the endpoints that it is told of, repeats nothing
// and asks nobody for their health, as the proxy of a node does.
type cluster struct {
	*haproxy
	subnet
	addr string
}

// There are so many instances, and for each the place of another that is about to replace it.
const instances = 4

func startCluster(t testing.TB) *cluster {
	t.Helper()
	c := &cluster{subnet: newSubnet()}
	c.addr = c.in("10.0.0.10:8000")
	config := fmt.Sprintf("global\n\tstats socket /run/haproxy/admin.sock level admin\ndefaults\n\tmode tcp\n\ttimeout connect 5s\n\ttimeout client 1m\n\ttimeout server 1m\n"+
		"\tretries 0\nfrontend web\n\tbind %s\n\tdefault_backend pods\nbackend pods\n", c.addr)
	for i := range 2 * instances {
		config += fmt.Sprintf("\tserver pod%d %s disabled\n", i, c.pod(i))
	}
	c.haproxy = startProxy(t, config, tls.Certificate{})
	return c
}

// pod is the address of an instance.
func (c *cluster) pod(i int) string { return c.in(fmt.Sprintf("10.0.0.%d:8080", 11+i)) }

func (c *cluster) add(i int)    { c.set(i, "ready") }
func (c *cluster) remove(i int) { c.set(i, "maint") }

func (c *cluster) set(i int, state string) {
	if said := strings.TrimSpace(c.tell(fmt.Sprintf("set server pods/pod%d state %s", i, state))); said != "" {
		c.t.Errorf("pod%d: %s", i, said)
	}
}

// way is how somebody sets an update up.
type way struct {
	name  string
	flags []string // of serve; DELAY is longer than an endpoint takes to be removed
	sleep bool     // before SIGTERM, as a preStop hook, for DELAY
	early bool     // a new instance is an endpoint before it is ready
	loses bool
}

var ways = []way{
	{name: "the recipe", flags: []string{"--on-term", "drain", "--drain-delay", "DELAY"}},
	{name: "no readiness probe", flags: []string{"--on-term", "drain", "--drain-delay", "DELAY"}, early: true, loses: true},
	{name: "a drain without a delay", flags: []string{"--on-term", "drain"}, loses: true},
	{name: "a preStop sleep, then an abort", sleep: true, loses: true},
	{name: "an abort", loses: true},
}

// An update of all instances, one after the other, loses no request by the recipe, though endpoints are removed late and at random; other
// ways lose some. deploy/README.md has the table that it prints, of a run without -short.
func TestRollingUpdate(t *testing.T) {
	t.Parallel()
	late, slow := 3*time.Second, time.Second
	all := ways
	if testing.Short() {
		late, slow = 200*time.Millisecond, 100*time.Millisecond
		all = []way{ways[0], ways[len(ways)-1]}
	}
	for _, w := range all {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			result := untilInTime(t, func() (restartload.Result, bool) { return w.update(t, late, slow) })
			if tooLittle(result) {
				t.Errorf("the load was too little to tell: %s", result)
			}
			if lost := len(result.Lost); (lost > 0) != w.loses {
				t.Errorf("lost are %d requests, want some: %t: %s", lost, w.loses, result)
			}
			t.Logf("| %s | %d | %d |", w.name, result.Requests(), len(result.Lost))
		})
	}
}

// untilInTime tries until it was in time, some times at the most.
func untilInTime(t *testing.T, try func() (result restartload.Result, inTime bool)) restartload.Result {
	result, inTime := try()
	for range 4 {
		if inTime {
			break
		}
		t.Log("the machine was too slow: who had to hear of an end did so behind the delay: once more")
		result, inTime = try()
	}
	return result
}

// update replaces the instances, one after the other, under load. A new instance needs slow before it listens. The endpoint of the one before is
// removed up to late behind SIGTERM, and in time if that was before the delay was over.
func (w way) update(t *testing.T, late, slow time.Duration) (result restartload.Result, inTime bool) {
	c := startCluster(t)
	delay := late + max(time.Second, late/2)
	var flags []string
	for _, flag := range w.flags {
		flags = append(flags, strings.ReplaceAll(flag, "DELAY", delay.String()))
	}
	start := func(i int, slow time.Duration) *process {
		args := append([]string{"-c", `sleep "$0" && exec "$@"`, fmt.Sprint(slow.Seconds()), binary, "--quiet", "--addr", c.pod(i)}, flags...)
		return launch(t, exec.Command("sh", args...))
	}
	listens := func(p *process) {
		lingertest.Wait(t, "an instance is ready", func() bool { return len(p.stdout.lines()) > 1 })
	}
	var serving [instances]*process
	for i := range serving {
		serving[i] = start(i, 0)
		listens(serving[i])
		c.add(i)
	}
	l := restartload.Start(restartload.Config{Addr: c.addr, New: 4, Kept: 4, Slow: 8, PostPath: "/echo", SlowPath: "/slow?ms=300", Pause: shortPause})
	t.Cleanup(func() { l.Stop() })
	lingertest.Wait(t, "it is under load", func() bool { return l.Requests() > 100 })
	inTime = true
	for i, old := range serving {
		p := start(instances+i, slow)
		if !w.early {
			listens(p)
		}
		c.add(instances + i)
		if w.early {
			listens(p) // the update goes on when it has started
		}
		began := time.Now()
		removed := make(chan time.Duration, 1)
		go func() {
			time.Sleep(rand.N(late))
			c.remove(i)
			removed <- time.Since(began)
		}()
		if w.sleep {
			time.Sleep(delay)
		}
		old.signal(syscall.SIGTERM)
		if took := <-removed; took >= delay {
			inTime = false
		}
		old.wait()
	}
	before := l.Requests()
	lingertest.Wait(t, "all is well again", func() bool { return l.Requests() > before+100 })
	return l.Stop(), inTime
}
