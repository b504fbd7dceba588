//go:build linux

package bench

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"
)

// connections is the number of connections of BenchmarkTeardown.
var connections = flag.Int("connections", 10_000, "connections that BenchmarkTeardown holds")

// floorProgram is another floor to measure beside ours: a program that is called with a port.
var floorProgram = flag.String("floor", "", "a program to measure too, called as PROGRAM PORT")

// BenchmarkTeardown compares servers, and prints the table of the README.
func BenchmarkTeardown(b *testing.B) {
	idle := All(*connections, Idle)
	c := contest{
		{"rstserver", ours(b), idle},
		{"floor", peer("floor"), idle},
		{"net/http map", peer("net/http map"), idle},
		{"net/http Close", peer("net/http Close"), idle},
	}
	if *floorProgram != "" {
		c = slices.Insert(c, 2, contestant{"floor program", program(b, *floorProgram), idle})
	}
	c.run(b, fmt.Sprintf("%d idle connections", *connections), 1)
}

// BenchmarkTeardownMixed compares connections of which a good part is in the middle of something with as many idle ones.
func BenchmarkTeardownMixed(b *testing.B) {
	server, mix := ours(b), most(b, everything)
	idle := All(mix.Total(), Idle)
	c := contest{{"mixed", server, mix}, {"idle", server, idle}}
	c.run(b, "mixed: "+mix.String(), 1)
}

// contest is what is measured in turn.
type contest []contestant

type contestant struct {
	name   string
	server server
	mix    Mix
}

// run measures the contestants in turn, once for each iteration, so that what disturbs the machine disturbs all of them, and
// prints a table. Run it with -benchtime 5x or more; the figures are medians. The metrics are the first contestant's, and
// its ratio to that of the number base.
func (c contest) run(b *testing.B, title string, base int) {
	results := make([][]Result, len(c))
	rounds := 0
	for ; b.Loop(); rounds++ {
		for k := range c {
			// Each begins once.
			k = (k + rounds) % len(c)
			res, err := Run{c[k].server, c[k].mix, syscall.SIGTERM, settle}.Measure()
			if err != nil {
				b.Fatalf("%s: %v", c[k].name, err)
			}
			results[k] = append(results[k], res)
		}
	}
	fmt.Printf("\n%s; median (min–max) of %d runs, in ms\n\n", title, rounds)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\tport free\t×%s\tµs/connection\tserver's CPU\tclients told\tby\tleft on the port\n", c[base].name)
	for k, one := range c {
		r := results[k]
		ratio, each := "-", "-"
		if m := median(r, free); m > 0 {
			ratio = fmt.Sprintf("%.2f", float64(m)/float64(median(results[base], free)))
			each = fmt.Sprintf("%.2f", float64(m)/1e3/float64(one.mix.Total()))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", one.name, spread(r, free), ratio, each, spread(r, used), spread(r, told), r[0].Endings.By, r[0].Left)
	}
	w.Flush()
	fmt.Println()
	b.ReportMetric(float64(median(results[0], free))/1e6, "ms/free")
	b.ReportMetric(float64(median(results[0], free))/float64(median(results[base], free)), "×"+c[base].name)
}

// settle is long enough for a port that is going to be free, and short enough for one that is not.
const settle = 500 * time.Millisecond

func free(r Result) time.Duration { return r.Free }
func used(r Result) time.Duration { return r.CPU }
func told(r Result) time.Duration { return r.Told }

func sorted(results []Result, of func(Result) time.Duration) []time.Duration {
	var d []time.Duration
	for _, r := range results {
		d = append(d, of(r))
	}
	slices.Sort(d)
	return d
}

func median(results []Result, of func(Result) time.Duration) time.Duration {
	d := sorted(results, of)
	return (d[len(d)/2] + d[(len(d)-1)/2]) / 2
}

func spread(results []Result, of func(Result) time.Duration) string {
	d := sorted(results, of)
	if d[0] == 0 {
		return "not"
	}
	ms := func(d time.Duration) float64 { return float64(d) / 1e6 }
	return fmt.Sprintf("%.1f (%.1f–%.1f)", ms(median(results, of)), ms(d[0]), ms(d[len(d)-1]))
}
