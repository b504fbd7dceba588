package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"rstserver/bench/report"
)

// figure reads one from what a command has printed.
type figure = func(text string) (float64, error)

// benchmark is what the testing package has printed for a benchmark in a unit: the median of several lines.
func benchmark(name, unit string) figure {
	return found(`(?m)^Benchmark` + regexp.QuoteMeta(name) + `(?:-\d+)?\s.*?\s([0-9.e+]+) ` + regexp.QuoteMeta(unit) + `(?:\s|$)`)
}

// found is the median of the numbers that the only group of a pattern matches.
func found(pattern string) figure {
	compiled := regexp.MustCompile(pattern)
	return func(text string) (float64, error) {
		var all []float64
		for _, m := range compiled.FindAllStringSubmatch(text, -1) {
			v, err := strconv.ParseFloat(strings.ReplaceAll(m[1], ",", ""), 64)
			if err != nil {
				return 0, err
			}
			all = append(all, v)
		}
		if len(all) == 0 {
			return 0, fmt.Errorf("nothing matches %s", pattern)
		}
		slices.Sort(all)
		return (all[(len(all)-1)/2] + all[len(all)/2]) / 2, nil
	}
}

// most is the greatest of the numbers that found would take the median of.
func most(pattern string) figure {
	compiled := regexp.MustCompile(pattern)
	return func(text string) (float64, error) {
		greatest, some := 0.0, false
		for _, m := range compiled.FindAllStringSubmatch(text, -1) {
			v, err := strconv.ParseFloat(m[1], 64)
			if err != nil {
				return 0, err
			}
			greatest, some = max(greatest, v), true
		}
		if !some {
			return 0, fmt.Errorf("nothing matches %s", pattern)
		}
		return greatest, nil
	}
}

// over is a figure divided by another.
func over(a, b figure) figure {
	return func(text string) (float64, error) {
		x, err := a(text)
		if err != nil {
			return 0, err
		}
		y, err := b(text)
		if err != nil {
			return 0, err
		}
		if y == 0 {
			return 0, fmt.Errorf("there is nothing to compare with")
		}
		return x / y, nil
	}
}

// failed is how many tests, or packages, the go command says to have failed.
func failed(text string) (float64, error) {
	if !strings.Contains(text, "\nok ") && !strings.HasPrefix(text, "ok ") && !strings.Contains(text, "FAIL") {
		return 0, fmt.Errorf("no test has run")
	}
	return float64(strings.Count("\n"+text, "\nFAIL\t")), nil
}

// document is a figure of what rstserver bench --json - has printed.
func document(of func(*report.Document) (float64, error)) figure {
	return func(text string) (float64, error) {
		d, err := report.Read(strings.NewReader(text))
		if err != nil {
			return 0, err
		}
		return of(d)
	}
}

// cell is a figure of a server with so many connections of a mix.
func cell(server string, n int, mix string, of func(report.Figures) (float64, bool)) figure {
	return document(func(d *report.Document) (float64, error) {
		for _, c := range d.Cells {
			if c.Server != server || c.N != n || c.Mix != mix {
				continue
			}
			if v, settled := of(c.Figures()); settled {
				return v, nil
			}
		}
		return 0, fmt.Errorf("%s was not measured with %d %s", server, n, mix)
	})
}

// portFree is in milliseconds.
func portFree(f report.Figures) (float64, bool) {
	return float64(f.Free.Median) / float64(time.Millisecond), f.Free.Settled()
}

func resident(f report.Figures) (float64, bool) {
	return float64(f.Resident.Median) / (1 << 20), f.Resident.Settled()
}

func anonymous(f report.Figures) (float64, bool) {
	return float64(f.Anonymous.Median), f.Anonymous.Settled()
}

func ofClients(f report.Figures) (float64, bool) {
	return float64(f.Clients.Median), f.Clients.Settled()
}

// each is by how much a figure is greater with more connections than with fewer, for each of them.
func each(server string, fewer, more int, mix string, of func(report.Figures) (float64, bool)) figure {
	few, many := cell(server, fewer, mix, of), cell(server, more, mix, of)
	return func(text string) (float64, error) {
		a, err := few(text)
		if err != nil {
			return 0, err
		}
		b, err := many(text)
		return (b - a) / float64(more-fewer), err
	}
}

// lost is how many requests each restart of a server has cost.
func lost(server string) figure {
	return document(func(d *report.Document) (float64, error) {
		restarts, n := 0, 0
		for _, c := range d.Restarted {
			for _, run := range c.Runs {
				for _, r := range run.Restarts {
					if c.Server == server {
						restarts, n = restarts+1, n+r.With.LostRequests()
					}
				}
			}
		}
		if restarts == 0 {
			return 0, fmt.Errorf("%s was not restarted", server)
		}
		return float64(n) / float64(restarts), nil
	})
}
