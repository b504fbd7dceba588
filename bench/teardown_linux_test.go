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

// BenchmarkTeardown measures the peers in turn, once for each iteration, so that what disturbs the machine disturbs all of
// them, and prints the table of the README. Run it with -benchtime 5x or more; the figures are medians.
func BenchmarkTeardown(b *testing.B) {
	type contestant struct {
		name   string
		server server
	}
	contestants := []contestant{
		{"rstserver", ours(b)},
		{"floor", peer("floor")},
		{"net/http map", peer("net/http map")},
		{"net/http Close", peer("net/http Close")},
	}
	if *floorProgram != "" {
		contestants = slices.Insert(contestants, 2, contestant{"floor program", program(b, *floorProgram)})
	}
	results := make([][]Result, len(contestants))
	rounds := 0
	for ; b.Loop(); rounds++ {
		for k := range contestants {
			// Each begins once.
			k = (k + rounds) % len(contestants)
			res, err := Run{contestants[k].server, All(*connections, Idle), syscall.SIGTERM, settle}.Measure()
			if err != nil {
				b.Fatalf("%s: %v", contestants[k].name, err)
			}
			results[k] = append(results[k], res)
		}
	}
	fmt.Printf("\n%d idle connections, median (min–max) of %d runs, in ms\n\n", *connections, rounds)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\tport free\t×floor\tclients told\tby\tleft on the port")
	floor := median(results[1], free)
	for k, c := range contestants {
		r := results[k]
		ratio := "-"
		if m := median(r, free); m > 0 {
			ratio = fmt.Sprintf("%.2f", float64(m)/float64(floor))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", c.name, spread(r, free), ratio, spread(r, told), r[0].Endings, r[0].Left)
	}
	w.Flush()
	fmt.Println()
	b.ReportMetric(float64(median(results[0], free))/1e6, "ms/free")
	b.ReportMetric(float64(median(results[0], free))/float64(floor), "×floor")
}

// settle is long enough for a port that is going to be free, and short enough for one that is not.
const settle = 500 * time.Millisecond

func free(r Result) time.Duration { return r.Free }
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
