//go:build linux

package bench

import (
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"rstserver/linger/lingertest"
)

var ended = regexp.MustCompile(`(\d+) reset`)

func TestMeasureDescriptors(t *testing.T) {
	runs, _ := strconv.Atoi(os.Getenv("RUNS"))
	if runs == 0 {
		t.Skip()
	}
	type env struct {
		c      *control
		addr   netip.AddrPort
		stderr *log
		paused func()
	}
	first := func(e env, n int) *Fleet {
		f, err := Open(e.addr, All(n, Idle), patience)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	variants := []struct {
		name string
		run  func(e env) []*opening
	}{
		{"files first", func(e env) []*opening {
			e.c.ask(fmt.Sprintf("/open?n=%d", manyFiles))
			o := openAll(e.addr, 1, manyConns)
			e.paused()
			return []*opening{o}
		}},
		{"conns first, all files, free 0", func(e env) []*opening {
			f := first(e, manyConns)
			e.c.ask(fmt.Sprintf("/open?n=%d&free=0", fileLimit))
			o := openAll(e.addr, 1, 100)
			e.paused()
			return []*opening{o, {fleets: []*Fleet{f}, errs: []error{nil}}}
		}},
		{"conns first, all files, free 1", func(e env) []*opening {
			f := first(e, manyConns)
			e.c.ask(fmt.Sprintf("/open?n=%d&free=1", fileLimit))
			o := openAll(e.addr, 1, 100)
			e.paused()
			return []*opening{o, {fleets: []*Fleet{f}, errs: []error{nil}}}
		}},
		{"conns first, all files, free 2", func(e env) []*opening {
			f := first(e, manyConns)
			e.c.ask(fmt.Sprintf("/open?n=%d&free=2", fileLimit))
			o := openAll(e.addr, 1, 100)
			e.paused()
			return []*opening{o, {fleets: []*Fleet{f}, errs: []error{nil}}}
		}},
		{"storm while files open until EMFILE", func(e env) []*opening {
			f := first(e, 500)
			o := openAll(e.addr, 3, 200)
			e.c.ask(fmt.Sprintf("/open?n=%d&free=0", fileLimit))
			o2 := openAll(e.addr, 1, 100)
			e.paused()
			return []*opening{o, o2, {fleets: []*Fleet{f}, errs: []error{nil}}}
		}},
		{"storm while 10000 files open, not EMFILE", func(e env) []*opening {
			f := first(e, 500)
			o := openAll(e.addr, 4, 500)
			e.c.ask(fmt.Sprintf("/open?n=%d&free=0", manyFiles))
			e.paused()
			return []*opening{o, {fleets: []*Fleet{f}, errs: []error{nil}}}
		}},
	}
	for _, v := range variants {
		lostRuns, lost, engines := 0, 0, 0
		for range runs {
			t.Run("x", func(t *testing.T) {
				cmd, addr := peer("hoarder")()
				stderr := &log{}
				cmd.Stderr = stderr
				p, err := Start(cmd, addr, patience)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(p.Kill)
				c := dialControl(t, p.Addr)
				os := v.run(env{c, p.Addr, stderr, func() {
					lingertest.Wait(t, "accepting pauses", func() bool {
						if _, err := p.Wait(0); err == nil {
							fmt.Println("SERVER ENDED", stderr.String())
							t.Fatal("server ended")
						}
						return strings.Contains(stderr.String(), "accepting pauses") || strings.Contains(stderr.String(), "ended unasked")
					})
				}})
				n := 0
				count := func(err error) {
					if m := ended.FindStringSubmatch(err.Error()); m != nil {
						k, _ := strconv.Atoi(m[1])
						n += k
					} else {
						n++
					}
				}
				// a reset control connection must not end this
				func() {
					defer func() { recover() }()
					ctl := dialQuiet(c)
					if !ctl {
						n++
						nc := dialControl(t, p.Addr)
						_ = nc
						nc.ask("/close")
					}
					if _, err := p.Wait(0); err == nil {
						fmt.Println("SERVER ENDED", stderr.String())
					}
				}()
				for _, o := range os {
					o.all.Wait()
					for i, f := range o.fleets {
						if o.errs[i] != nil {
							count(o.errs[i])
							continue
						}
						_ = f.Repeat(Idle, 5*time.Second)
						ee, _ := f.Watch(10 * time.Millisecond)
						n += ee.By[Reset] + ee.By[EOF] + ee.By[Failed]
						if k := len(f.clients) - f.ready; k > 0 {
							n += k
							fmt.Println("not ready", k, ee)
						}
						f.Close()
					}
				}
				if k := strings.Count(stderr.String(), "ended unasked"); k > 0 {
					engines += k
				}
				if n > 0 {
					lostRuns++
					lost += n
				}
			})
		}
		fmt.Printf("MEASURE %-45s runs %d, with losses %d, clients lost %d, engines ended %d\n", v.name, runs, lostRuns, lost, engines)
	}
}

// dialQuiet asks for /close and tells whether that was answered.
func dialQuiet(c *control) bool {
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := c.Write([]byte(get("/close"))); err != nil {
		return false
	}
	b, err := c.r.ReadString('d')
	_ = b
	return err == nil
}
