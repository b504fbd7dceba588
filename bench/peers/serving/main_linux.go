//go:build linux

// Command serving measures what serving costs: processor time for each request, beside others, and how long clients wait at fixed rates.
//
//	serving [-rounds N] [-for D] [-program FILE] [-peers DIR] costs|latency
//
// The servers take turns, and every figure is the median over the rounds. It exits with 1 when one of the bounds does not hold.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"time"

	"rstserver/bench"
	"rstserver/bench/internal/kernel"
	"rstserver/bench/internal/process"
	"rstserver/linger/sockdiag"
)

// settings are what the flags say.
type settings struct {
	Rounds   int
	For      time.Duration // each measurement
	Program  string        // rstserver
	Peers    string        // the folder with the others
	Idle     int           // connections held
	Progress io.Writer
}

func main() {
	if helped, err := bench.Helper(os.Args[1:]); helped {
		exit(err)
	}
	s := settings{Progress: io.Discard}
	if info, err := os.Stderr.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		s.Progress = os.Stderr
	}
	flag.IntVar(&s.Rounds, "rounds", 7, "`N` times in turn")
	flag.DurationVar(&s.For, "for", 2*time.Second, "time `D` of each measurement")
	flag.StringVar(&s.Program, "program", "bin/rstserver", "rstserver: `FILE`")
	flag.StringVar(&s.Peers, "peers", "bin/peers", "`DIR` where make peers has put the others")
	flag.IntVar(&s.Idle, "held", 10_000, "`N` connections that are held, or told, meanwhile")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if s.Rounds < 1 || s.For <= 0 || s.Idle < 1 {
		exit(errors.New("serving: -rounds, -for and -held have to be greater than 0"))
	}
	switch flag.Arg(0) {
	case "costs":
		exit(s.costs(ctx, os.Stdout))
	case "latency":
		exit(s.latency(ctx, os.Stdout))
	}
	fmt.Fprintln(os.Stderr, "usage: serving [flags] costs|latency")
	flag.PrintDefaults()
	os.Exit(2)
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// server is a program to measure: it is called with the address to listen on behind its arguments.
type server struct {
	Name    string
	Command []string
	Args    []string // behind the address
}

func (s settings) ours() server {
	return server{"rstserver", []string{s.Program, "serve", "--quiet", "--idle-timeout", "24h", "--addr"}, nil}
}

func (s settings) peer(name string) server {
	return server{name, []string{filepath.Join(s.Peers, name)}, nil}
}

// missing says what there is to do about one that is not there.
func (s server) missing() string {
	if _, err := os.Stat(s.Command[0]); err != nil {
		return fmt.Sprintf("%s is left out: %s is not there, make peers brings it", s.Name, s.Command[0])
	}
	return ""
}

// started is one that runs.
type started struct {
	*process.Family
	addr netip.AddrPort
}

// start starts it. end ends it, and leaves nothing on its port.
func (s server) start(ctx context.Context) (_ *started, end func() error, err error) {
	addr, err := kernel.FreePort()
	if err != nil {
		return nil, nil, err
	}
	command := append(append(slices.Clone(s.Command), addr.String()), s.Args...)
	const patience = 20 * time.Second
	family, err := process.Start(ctx, process.Program{Name: s.Name, Command: command}, addr, 1, nil, patience)
	if err != nil {
		return nil, nil, err
	}
	return &started{family, addr}, func() error {
		family.Kill()
		_, err := kernel.Clean(ctx, addr.Port(), func(sockdiag.Counts) {})
		return err
	}, nil
}

// median is the middle of some figures.
func median(of []float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
