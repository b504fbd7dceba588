//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"rstserver/bench/internal/process"
	"rstserver/bench/peers/hello"
	"rstserver/internal/layout"
)

// task is what clients ask one server for.
type task struct {
	Of    server
	Path  string
	Depth int
}

// ratio is a comparison of what two tasks take.
type ratio struct {
	What         string
	Ours, Theirs task
	Bound        float64
}

const (
	bytesOfFile = 1 << 20 // that is served
	pipelined   = 16
)

// tasks are all that are measured, and ratios what is made of them. dir has the file.
func (s settings) tasks(dir string) (tasks []task, ratios []ratio) {
	ours, gnet, fasthttp := s.ours(), s.peer("gnet"), s.peer("fasthttp")
	handler, nethttp := s.peer("pooled"), s.peer("nethttp")
	handler.Name = "the same handler here"
	for _, depth := range []int{1, pipelined} {
		for _, of := range []server{ours, gnet, fasthttp, handler, nethttp} {
			tasks = append(tasks, task{of, "/", depth})
		}
	}
	file := []task{{handler, hello.Files + "file", 1}, {nethttp, hello.Files + "file", 1}}
	for i := range file {
		file[i].Of.Args = []string{dir}
	}
	plain := func(of server) task { return task{of, "/", 1} }
	deep := func(of server) task { return task{of, "/", pipelined} }
	return append(tasks, file...), []ratio{
		{"the loop × gnet", plain(ours), plain(gnet), 1.05},
		{"the same, pipelined", deep(ours), deep(gnet), 1.05},
		{"an http.Handler × net/http", plain(handler), plain(nethttp), 0.75},
		{"the same, pipelined", deep(handler), deep(nethttp), 0.75},
		{"http.FileServer × net/http", file[0], file[1], 1},
	}
}

// What names it, but for its server.
func (t task) What() string {
	switch {
	case t.Path != "/":
		return "1 MiB"
	case t.Depth > 1:
		return "pipelined"
	}
	return "GET /"
}

// key tells tasks apart.
func (t task) key() string { return t.Of.Name + " " + t.What() }

// spent is what requests have cost a server: microseconds for each, in all and in user mode, and how many there were a second.
type spent struct{ total, user, perSecond []float64 }

func (s *spent) add(used process.Times, o outcome) {
	each := func(d time.Duration) float64 {
		return float64(d) / float64(time.Microsecond) / float64(max(o.Requests, 1))
	}
	s.total, s.user = append(s.total, each(used.Total)), append(s.user, each(used.User))
	s.perSecond = append(s.perSecond, o.PerSecond())
}

// costs measures processor time for each request. An error says which bounds do not hold.
func (s settings) costs(ctx context.Context, w io.Writer) error {
	dir, err := os.MkdirTemp("", "serving-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "file"), make([]byte, bytesOfFile), 0o644); err != nil {
		return err
	}
	tasks, ratios := s.tasks(dir)
	figures := make(map[string]*spent)
	for round := range s.Rounds {
		for i := range tasks {
			t := tasks[(i+round)%len(tasks)] // nobody always comes behind the same
			fmt.Fprintf(s.Progress, "\rround %d of %d, %s\x1b[K", round+1, s.Rounds, t.key())
			if figures[t.key()] == nil {
				figures[t.key()] = new(spent)
			}
			if err := s.spend(ctx, t, figures[t.key()]); err != nil {
				return err
			}
		}
	}
	fmt.Fprint(s.Progress, "\r\x1b[K")
	text := layout.Text{Columns: 80}
	text.Wrap("", "", fmt.Sprintf("Requests a second, and processor time of the server for each: 64 connections, pipelined %d deep; medians of %d rounds of %s in turn", pipelined, s.Rounds, s.For))
	table := [][]string{{"", "", "requests/s", "µs each", "in user mode"}}
	for _, t := range tasks {
		f := figures[t.key()]
		table = append(table, []string{t.What(), t.Of.Name, fmt.Sprintf("%.0f", median(f.perSecond)), fmt.Sprintf("%.2f", median(f.total)), fmt.Sprintf("%.2f", median(f.user))})
	}
	text.Table(table, []bool{false, false, true, true, true})
	text.Line("")
	table = [][]string{{"processor time for each request", "ratio", "bound"}}
	var broken []error
	for _, r := range ratios {
		of := median(figures[r.Ours.key()].total) / median(figures[r.Theirs.key()].total)
		table = append(table, []string{r.What, fmt.Sprintf("%.2f", of), fmt.Sprintf("≤ %.2f", r.Bound)})
		if !(of <= r.Bound) {
			broken = append(broken, fmt.Errorf("serving: %s (%s): %.2f, the bound is %.2f", r.What, r.Ours.What(), of, r.Bound))
		}
	}
	text.Table(table, []bool{false, true, true})
	_, err = io.WriteString(w, text.String())
	return errors.Join(append(broken, err)...)
}

// spend carries a task out once.
func (s settings) spend(ctx context.Context, t task, into *spent) (err error) {
	p, end, err := t.Of.start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	var before process.Times
	o, err := load{Addr: p.addr, Path: t.Path, Connections: asking, Depth: t.Depth, For: s.For, Threads: threads}.run(ctx, func() (err error) {
		before, _, err = p.Usage()
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", t.Of.Name, err)
	}
	after, _, err := p.Usage()
	if err != nil {
		return err
	}
	into.add(after.Since(before), o)
	return nil
}
