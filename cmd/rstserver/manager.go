package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"rstserver/internal/latch"
	"rstserver/linger"
	"rstserver/linger/handover"
	"rstserver/poller"
)

// manager is systemd, where NOTIFY_SOCKET says so: it is told what the server does, that it still does something, and that a drain takes its
// time. READY, RELOADING and MAINPID come from package handover.
type manager struct {
	log      *slog.Logger
	watchdog time.Duration // within which it has to hear that the server is alive; 0: it does not mind
	ended    context.CancelFunc
	ctx      context.Context
	running  sync.WaitGroup
}

// The unit's status is told every statusInterval, and in a drain every drainInterval, with extension as the time that it may take until the
// next.
const (
	statusInterval = 5 * time.Second
	drainInterval  = time.Second
	extension      = 10 * time.Second
)

func newManager(log *slog.Logger) *manager {
	m := &manager{log: log}
	m.ctx, m.ended = context.WithCancel(context.Background())
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return m
	}
	var err error
	if m.watchdog, err = daemon.SdWatchdogEnabled(false); err != nil {
		log.Warn("there is no watchdog", "error", err)
	}
	return m
}

// notify sends state.
func (m *manager) notify(state string) {
	if err := handover.Notify(state); err != nil {
		m.log.Warn("systemd is not told", "error", err)
	}
}

// watch tells what srv does, until stop or exit: then the unit is a successor's.
func (m *manager) watch(srv *poller.Server, exit <-chan struct{}) {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return
	}
	m.running.Go(func() {
		m.notify(status(srv.Report()))
		interval := drainInterval
		if m.watchdog > 0 {
			interval = min(interval, m.watchdog/3)
		}
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for told := time.Now(); ; {
			select {
			case <-ticker.C:
			case <-exit:
				return
			case <-m.ctx.Done():
				return
			}
			if latch.IsClosed(exit) {
				return
			}
			var lines []string
			if m.watchdog > 0 && m.alive(srv) {
				lines = append(lines, daemon.SdNotifyWatchdog)
			}
			rep := srv.Report()
			if rep.Mode.Drains() {
				lines = append(lines, fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", extension.Microseconds()))
			}
			if rep.Mode != linger.ModeNone || time.Since(told) >= statusInterval {
				told = time.Now()
				lines = append(lines, status(rep))
			}
			if len(lines) > 0 {
				m.notify(strings.Join(lines, "\n"))
			}
		}
	})
}

// alive reports whether every event loop gets to what it is given, within the time that the watchdog has for that.
func (m *manager) alive(srv *poller.Server) bool {
	ctx, cancel := context.WithTimeout(m.ctx, m.watchdog/3)
	defer cancel()
	err := srv.Ping(ctx)
	if err != nil && m.ctx.Err() == nil {
		m.log.Error("the watchdog is not told that the server is alive", "error", err)
	}
	return err == nil
}

func (m *manager) stop() {
	m.ended()
	m.running.Wait()
}

// status is a line for systemctl status.
func status(rep linger.Report) string {
	doing := "serving " + rep.Address
	switch rep.Mode {
	case linger.ModeRelease:
		doing = "released " + rep.Address
	case linger.ModeDrain, linger.ModeHandover:
		doing = "draining " + rep.Address
	case linger.ModeAbort:
		doing = "aborting " + rep.Address
	}
	return fmt.Sprintf("STATUS=%s: %d connections, %d of them idle", doing, rep.Connections.Total(), rep.Connections[linger.Idle])
}
