//go:build linux

package engine

import (
	"errors"
	"testing"

	"github.com/panjf2000/gnet/v2"
)

// When an engine runs what EventLoop.Execute has given it.
func TestContractTask(t *testing.T) {
	// poller_epoll_default.go, Polling: doChores, behind the events.
	t.Run("tasks run behind the events of their round", func(t *testing.T) {
		g := &gnetEngine{}
		g.onTraffic = func(gnet.Conn, []byte) gnet.Action { g.note("traffic"); return gnet.None }
		client, c := g.start(t).connect()
		done := make(chan struct{})
		g.held(func() {
			g.execute(func() error { g.note("task"); close(done); return nil })
			g.send(client, c, "x")
		})
		gnetAwait(t, "the task", done)
		g.want("traffic", "task")
	})

	// poller_epoll_default.go, Polling: urgentAsyncTaskQueue is emptied before the next EpollWait. Trigger: that is where tasks of
	// low priority go too, while there are few.
	t.Run("a task that posts itself runs again before the loop looks at its connections", func(t *testing.T) {
		g := &gnetEngine{}
		client, c := g.start(t).connect()
		last := make(chan struct{})
		g.onTraffic = func(gnet.Conn, []byte) gnet.Action { g.note("traffic"); close(last); return gnet.None }
		n := 0
		var task func() error
		task = func() error {
			if n++; n == 1 {
				g.send(client, c, "x")
			}
			if n < 1000 {
				g.execute(task)
			} else {
				g.note("the last")
			}
			return nil
		}
		g.execute(task)
		gnetAwait(t, "OnTraffic", last)
		g.want("the last", "traffic")
	})

	// poller_epoll_default.go, Trigger: beyond highPriorityEventsThreshold they go to a second queue, of which Polling runs 256 a
	// round, behind all that is in the first; so they do not run in the order in which they were given.
	t.Run("of many tasks none is lost", func(t *testing.T) {
		g := (&gnetEngine{}).start(t)
		const many = 5000
		n, all := 0, make(chan struct{})
		g.held(func() {
			for range many {
				g.execute(func() error {
					if n++; n == many {
						close(all)
					}
					return nil
				})
			}
		})
		gnetAwait(t, "all tasks", all)
	})

	// poller_epoll_default.go, Polling: err = task.Exec.
	t.Run("another error of a task than ErrEngineShutdown does nothing", func(t *testing.T) {
		g := (&gnetEngine{}).start(t)
		g.execute(func() error { return errors.New("a task has failed") })
		g.lives()
		if lines := g.complaints(); len(lines) > 0 {
			t.Errorf("logged: %v", lines)
		}
	})
}
