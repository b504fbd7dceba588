//go:build linux

package sse_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rstserver/internal/lingertest"
	"rstserver/poller"
)

// drivePage is one tab: the chat's page twice, in both rooms, each in its own way. It says something all the time until it is told to stop, and reports
// what its pages show.
const drivePage = `<!doctype html>
<iframe id="garden"></iframe><iframe id="kitchen"></iframe>
<script>
const tab = new URLSearchParams(location.search).get('tab')
const rooms = ['garden', 'kitchen']
const frame = (room) => document.getElementById(room).contentWindow
rooms.forEach((room, i) => {
  const by = (tab === 'a') === (i === 0) ? 'websocket' : 'events'
  document.getElementById(room).src = '/?room=' + room + '&by=' + by
})
let said = 0, stopped = false
function speak() {
  if (stopped) return
  said++
  for (const room of rooms) {
    const form = frame(room).document.querySelector('form')
    form.elements.text.value = tab + ' ' + said
    form.requestSubmit()
  }
}
async function report() {
  try {
    const shows = {}
    for (const room of rooms) {
      const of = frame(room)
      shows[room] = {
        opened: of.eval('opened'), unheard: of.eval('unheard.size'),
        said: Array.from(of.document.querySelectorAll('li'), (item) => item.textContent),
      }
    }
    const answer = await fetch('/report', {method: 'POST', body: JSON.stringify({tab, said, shows})})
    stopped = await answer.text() === 'stop'
  } catch (err) {} // nobody is there at present
  setTimeout(report, 100)
}
onload = () => { setInterval(speak, 50); report() }
</script>
`

// reported is what a tab shows.
type reported struct {
	Tab   string
	Said  int
	Shows map[string]struct {
		Opened, Unheard int
		Said            []string
	}
}

// driven is a chat, and what the tabs say of it.
type driven struct {
	*chat
	mu   sync.Mutex // guards what follows
	stop bool
	tabs map[string]reported
}

func (d *driven) report(w http.ResponseWriter, r *http.Request) {
	var rep reported
	err := json.NewDecoder(r.Body).Decode(&rep)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil || rep.Tab == "" {
		http.Error(w, fmt.Sprint(err), http.StatusBadRequest)
		return
	}
	d.tabs[rep.Tab] = rep
	if d.stop {
		_, _ = io.WriteString(w, "stop")
	}
}

// each reports whether something holds for the two rooms in both tabs.
func (d *driven) each(f func(tab reported, room string) bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, tab := range []string{"a", "b"} {
		for room := range d.rooms {
			if !f(d.tabs[tab], room) {
				return false
			}
		}
	}
	return true
}

// Two tabs of a browser talk in two rooms, each by WebSocket in one and by event stream in the other, while servers end their connections twice. All
// is heard by both, in one order, nothing twice, and nothing is lost.
func TestChatInBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("with -short no browser is started; make interop starts one")
	}
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("RSTSERVER_DEPS") == "1" {
			t.Fatal("chromium is missing: make clients")
		}
		t.Skip("chromium is missing: make clients, or apt-get install chromium")
	}
	d := &driven{chat: newChat("garden", "kitchen"), tabs: make(map[string]reported)}
	d.HandleFunc("GET /drive", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, drivePage) })
	d.HandleFunc("POST /report", d.report)
	addr, shutdown := d.serve(t, "127.0.0.1:0")
	openTab(t, chromium, "http://"+addr+"/drive?tab=a", "http://"+addr+"/drive?tab=b")

	for round := 1; round <= 3; round++ {
		lingertest.Wait(t, fmt.Sprintf("all have connected %d times and heard more", round), func() bool {
			return d.each(func(tab reported, room string) bool {
				return tab.Shows[room].Opened >= round && len(tab.Shows[room].Said) >= 20*round
			})
		})
		if round < 3 {
			shutdown()
			_, shutdown = d.serve(t, addr)
		}
	}
	d.mu.Lock()
	d.stop = true
	d.mu.Unlock()
	heard := func(room string) (all []string) {
		r := d.rooms[room]
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, m := range r.said {
			all = append(all, m.Text)
		}
		return all
	}
	lingertest.Wait(t, "all is heard", func() bool {
		return d.each(func(tab reported, room string) bool {
			return tab.Shows[room].Unheard == 0 && len(tab.Shows[room].Said) >= len(heard(room)) && len(heard(room)) == d.tabs["a"].Said+d.tabs["b"].Said
		})
	})
	d.each(func(tab reported, room string) bool {
		all := heard(room)
		if !reflect.DeepEqual(tab.Shows[room].Said, all) {
			t.Errorf("tab %s has heard in the %s %q, want %q", tab.Tab, room, tab.Shows[room].Said, all)
		}
		if opened := tab.Shows[room].Opened; opened != 3 {
			t.Errorf("tab %s has connected to the %s %d times, want 3", tab.Tab, room, opened)
		}
		once := make(map[string]bool)
		for _, text := range all {
			once[text] = true
		}
		for _, of := range []string{"a", "b"} {
			for n := 1; n <= d.tabs[of].Said; n++ {
				if !once[fmt.Sprintf("%s %d", of, n)] {
					t.Errorf("what tab %s said as its number %d is lost in the %s", of, n, room)
				}
			}
		}
		if len(once) != len(all) {
			t.Errorf("some is heard twice in the %s: %d messages, %d different ones", room, len(all), len(once))
		}
		return true
	})
	shutdown()
}

// serve starts a server, and returns what shuts it down.
func (d *driven) serve(t *testing.T, addr string) (string, func()) {
	t.Helper()
	serving, ended := make(chan netip.AddrPort, 1), make(chan error, 1)
	srv := &poller.Server{Addr: addr, Handler: d, Spread: 100 * time.Millisecond, Serving: func(a netip.AddrPort) { serving <- a }}
	go func() { ended <- srv.ListenAndServe() }()
	t.Cleanup(func() { _ = srv.Close() })
	select {
	case a := <-serving:
		return a.String(), func() {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), lingertest.Patience)
			defer cancel()
			lingertest.Must(t, srv.Shutdown(ctx))
			if err := <-ended; err != poller.ErrServerClosed {
				t.Errorf("ListenAndServe = %v", err)
			}
			if rep := srv.Report(); rep.Undelivered != 0 || !rep.Complete() {
				t.Errorf("the Report says %+v", rep)
			}
		}
	case err := <-ended:
		t.Fatal(err)
		return "", nil
	}
}

// openTab makes a browser open pages, each in a tab of its own.
func openTab(t *testing.T, chromium string, pages ...string) {
	t.Helper()
	cmd := exec.Command(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--user-data-dir="+t.TempDir(), "about:blank")
	out, in := io.Pipe()
	cmd.Stderr, cmd.WaitDelay = in, time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // with the processes that it starts
	lingertest.Must(t, cmd.Start())
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		_ = in.Close()
		close(ended)
	}()
	t.Cleanup(func() {
		select {
		case <-ended: // by itself, and its number may be another's
		default:
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}
		<-ended
	})
	lines := bufio.NewScanner(out)
	var all []string
	for lines.Scan() {
		_, ws, ok := strings.Cut(lines.Text(), "DevTools listening on ")
		if !ok {
			all = append(all, lines.Text())
			continue
		}
		go func() { _, _ = io.Copy(io.Discard, out) }()
		u, err := url.Parse(ws)
		lingertest.Must(t, err)
		for _, page := range pages {
			req, err := http.NewRequest(http.MethodPut, "http://"+u.Host+"/json/new?"+page, nil)
			lingertest.Must(t, err)
			resp, err := http.DefaultClient.Do(req)
			lingertest.Must(t, err)
			_ = resp.Body.Close()
			if resp.StatusCode != 200 {
				t.Fatalf("the browser opens no tab: %s", resp.Status)
			}
		}
		http.DefaultClient.CloseIdleConnections()
		return
	}
	t.Fatalf("chromium has ended: %q", all)
}
