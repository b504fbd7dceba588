//go:build linux

package engine

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"weak"

	"github.com/panjf2000/gnet/v2"
	"github.com/panjf2000/gnet/v2/pkg/logging"
	"github.com/panjf2000/gnet/v2/pkg/pool/goroutine"
	"go.uber.org/goleak"

	"rstserver/internal/lingertest"
)

// The goroutines that importing gnet starts.
const (
	antsPurge    = "github.com/panjf2000/ants/v2.(*poolCommon).purgeStaleWorkers"
	antsTicktock = "github.com/panjf2000/ants/v2.(*poolCommon).ticktock"
)

// What gnet does to the process around its engines.
func TestContractProcess(t *testing.T) {
	// pkg/pool/goroutine/goroutine.go: DefaultWorkerPool = Default(), when the package is initialized; ants.go, goPurge and
	// goTicktock. gnet uses the pool in eventloop_unix.go, enroll, only: EventLoop.Register and Enroll, and what a gnet.Client dials.
	// A test program leaves them out with goleak.IgnoreCurrent() at the start of its TestMain.
	t.Run("importing it starts the two goroutines of a pool, which Release ends", func(t *testing.T) {
		count := func() int { return len(gnetStacks("panjf2000/ants/v2.")) }
		before := count()
		pool := goroutine.Default()
		lingertest.Wait(t, "two goroutines", func() bool {
			return count() == before+2 && len(gnetStacks(antsPurge)) > 0 && len(gnetStacks(antsTicktock)) > 0
		})
		if err := goleak.Find(); err == nil || !strings.Contains(err.Error(), antsPurge) || !strings.Contains(err.Error(), antsTicktock) {
			t.Errorf("a check for leaks says %v, want it to name both", err)
		}
		if err := goleak.Find(goleak.IgnoreCurrent()); err != nil {
			t.Errorf("one that leaves out those from before says %v", err)
		}
		pool.Release()
		lingertest.Wait(t, "none of them", func() bool { return count() == before })
		if before > 2 {
			t.Errorf("%d goroutines are of ants, want those of one pool", before)
		}
		(&gnetEngine{}).start(t).lives()
		if after := count(); after != before {
			t.Errorf("an engine starts %d more", after-before)
		}
	})

	// gnet.go, createListeners: SetDefaultLoggerAndFlusher, with the engine's own. To it go, for all engines of the process, the
	// lines of createListeners ("default logging level is"), run ("Launching gnet"), Polling ("error occurs in epoll") and
	// listener.close ("error occurs during runtime").
	t.Run("WithLogger sets the logger of the package too, for good", func(t *testing.T) {
		gnetKeepLogger(t)
		foreign := &gnetEngine{}
		logging.SetDefaultLoggerAndFlusher(gnetLog{foreign}, nil)
		g := (&gnetEngine{}).start(t)
		for _, text := range []string{"default logging level is", "Launching gnet"} {
			if g.line(text).text == "" {
				t.Errorf("the engine's logger has not heard %q", text)
			}
		}
		g.end()
		logging.Errorf("of any engine, or none")
		if g.line("of any engine, or none").text == "" || len(foreign.lines) > 0 {
			t.Errorf("the logger from before the engine hears: %v", foreign.lines)
		}
	})

	// gnet.go, createListeners: options.Logger == nil. So what goes to the logger of one engine can be another's.
	t.Run("an engine without a logger of its own logs to that of the last one with", func(t *testing.T) {
		gnetKeepLogger(t)
		g := (&gnetEngine{}).start(t)
		g.end()
		(&gnetEngine{options: []gnet.Option{gnet.WithLogger(nil)}}).start(t).end()
		n := 0
		for _, line := range g.lines {
			if strings.Contains(line.text, "is exiting in terms of the demand") {
				n++
			}
		}
		if n != 2 {
			t.Errorf("%d engines have told the first one's logger of their end, want 2", n)
		}
	})

	// The same: run calls OnBoot behind that, and everything else that gnet logs comes later.
	t.Run("OnBoot can set another, with which the lines of an engine stay its own", func(t *testing.T) {
		gnetKeepLogger(t)
		others := &gnetEngine{}
		g := &gnetEngine{onBoot: func(gnet.Engine) gnet.Action {
			logging.SetDefaultLoggerAndFlusher(gnetLog{others}, nil)
			return gnet.None
		}}
		g.start(t)
		logging.Errorf("of the package")
		g.end()
		if g.line("of the package").text != "" || others.line("of the package").text == "" {
			t.Error("a line of the package goes to the engine's logger")
		}
		if g.line("is exiting in terms of the demand").text == "" || others.line("is exiting").text != "" {
			t.Error("a line of the engine does not go to its logger")
		}
	})

	// engine_unix.go, run: allEngines.Store by address, which only gnet.Stop deletes; and the logger.
	t.Run("an engine that has ended is kept until the next of its address", func(t *testing.T) {
		gnetKeepLogger(t)
		reachable := gnetEnded(t)
		logging.SetDefaultLoggerAndFlusher(gnetLog{&gnetEngine{}}, nil)
		runtime.GC()
		if reachable.Value() == nil {
			t.Error("its event handler was collected")
		}
		(&gnetEngine{}).start(t).end()
		lingertest.Wait(t, "the event handler is collected", func() bool {
			runtime.GC()
			return reachable.Value() == nil
		})
	})

	// Nothing of gnet's recovers: neither eventloop_unix.go nor poller_epoll_default.go, nor does errgroup, which runs the loop.
	// pkg/logging/logger.go, init: GNET_LOGGING_LEVEL=-1 is for all that it can say, on standard output or in GNET_LOGGING_FILE.
	t.Run("a panic in a callback ends the process; with WithLogger gnet prints nothing", func(t *testing.T) {
		for _, file := range []string{"", filepath.Join(t.TempDir(), "log")} {
			var stdout, stderr strings.Builder
			program := exec.Command(os.Args[0])
			program.Env = append(os.Environ(), gnetPanicEnv+"=1", "GNET_LOGGING_LEVEL=-1", "GNET_LOGGING_FILE="+file)
			program.Stdout, program.Stderr = &stdout, &stderr
			if err := program.Run(); err == nil || !strings.Contains(stderr.String(), "panic: in OnTraffic") {
				t.Errorf("%v, and on standard error: %s", err, &stderr)
			}
			if stdout.Len() > 0 || strings.Contains(stderr.String(), "[gnet]") {
				t.Errorf("printed: %s%s", &stdout, &stderr)
			}
			if _, err := os.Stat(file); file != "" && !os.IsNotExist(err) {
				t.Errorf("gnet has a log file: %v", err)
			}
		}
	})

	// pkg/logging/logger.go, init.
	t.Run("a GNET_LOGGING_LEVEL that is no number is a panic of whoever imports it", func(t *testing.T) {
		program := exec.Command(os.Args[0], "-test.run=^$")
		program.Env = append(os.Environ(), "GNET_LOGGING_LEVEL=info")
		if out, err := program.CombinedOutput(); err == nil || !strings.Contains(string(out), "invalid GNET_LOGGING_LEVEL") {
			t.Errorf("%v: %s", err, out)
		}
	})
}

// gnetKeepLogger gives gnet back the logger that it has now.
func gnetKeepLogger(t *testing.T) {
	logger, flusher := logging.GetDefaultLogger(), logging.GetDefaultFlusher()
	t.Cleanup(func() { logging.SetDefaultLoggerAndFlusher(logger, flusher) })
}

// gnetEnded runs an engine to its end and returns its event handler, to which nobody else refers.
func gnetEnded(t *testing.T) weak.Pointer[gnetStopper] {
	t.Helper()
	h := new(gnetStopper)
	if err := gnet.Run(h, "tcp://127.0.0.1:0", gnetPlain()...); err != nil {
		t.Error(err)
	}
	return weak.Make(h)
}

// gnetPlain are options with a logger that nobody reads.
func gnetPlain() []gnet.Option {
	return []gnet.Option{gnet.WithNumEventLoop(1), gnet.WithReusePort(true), gnet.WithLogger(gnetLog{new(gnetEngine)})}
}

// gnetStopper stops its engine as soon as it runs.
type gnetStopper struct {
	gnet.BuiltinEventEngine
	_ *byte // so that it is allocated alone
}

func (*gnetStopper) OnBoot(e gnet.Engine) gnet.Action {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	_ = e.Stop(now)
	return gnet.None
}

// gnetPanicEnv is set in the environment of a process that is to run gnetPanics.
const gnetPanicEnv = "GNET_CONTRACT_PANIC"

// gnetPanics is to end the process by a panic in a callback.
func gnetPanics() {
	fmt.Fprintln(os.Stderr, "Run returned", gnet.Run(new(gnetPanicker), "tcp://127.0.0.1:0", gnetPlain()...))
	os.Exit(0)
}

// gnetPanicker connects to its engine and panics when it reads.
type gnetPanicker struct {
	gnet.BuiltinEventEngine
	client *net.TCPConn
}

func (p *gnetPanicker) OnBoot(e gnet.Engine) gnet.Action {
	var g gnetEngine
	err := g.findListener(e)
	if err == nil {
		p.client, err = gnetDial(g.addr)
	}
	if err == nil {
		_, err = p.client.Write([]byte("x"))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return gnet.Shutdown
	}
	return gnet.None
}

func (*gnetPanicker) OnTraffic(gnet.Conn) gnet.Action { panic("in OnTraffic") }
