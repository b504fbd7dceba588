// Command foreign is a server that is not this project's: net/http, told by flags what else it does. It answers /hello, and
// /late after as many milliseconds as ms says, and closes on a signal.
package main

import (
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

var (
	port     = flag.String("port", "", "to listen on")
	greeting = flag.String("greeting", "", "noted as it came")
	diary    = flag.String("diary", "", "file that gets a line for all that happens")
	usr1     = flag.Bool("usr1", false, "close on SIGUSR1, and not on SIGTERM")
	stays    = flag.Bool("stays", false, "do not end on a signal")
	deaf     = flag.Bool("deaf", false, "do not listen")
	mute     = flag.Bool("mute", false, "do not answer")
	fails    = flag.String("fails", "", "end at once, and say so")
	daemon   = flag.Bool("daemon", false, "serve in the background, in a process of another session")
	closes   = flag.Bool("closes", false, "close each connection behind its answer")
	child    = flag.Bool("child", false, "start a process in a session of its own that would outlive this one")
)

func main() {
	flag.Parse()
	note("started with " + *greeting)
	if *fails != "" {
		fmt.Fprintln(os.Stderr, *fails)
		os.Exit(7)
	}
	if *daemon {
		var args []string
		for _, arg := range os.Args[1:] {
			if arg != "-daemon" {
				args = append(args, arg)
			}
		}
		cmd := exec.Command(os.Args[0], args...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		check(cmd.Start())
		return
	}
	if *child {
		cmd := exec.Command(os.Args[0], "-deaf")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		check(cmd.Start())
	}
	signals := make(chan os.Signal, 1)
	if *usr1 {
		signal.Ignore(syscall.SIGTERM)
		signal.Notify(signals, syscall.SIGUSR1)
	} else {
		signal.Notify(signals, syscall.SIGTERM)
	}
	if *deaf {
		time.Sleep(time.Hour) // the benchmark ends it
	}
	ln, err := net.Listen("tcp", "127.0.0.1:"+*port)
	check(err)
	mux := http.NewServeMux()
	mux.HandleFunc("/hello", func(w http.ResponseWriter, r *http.Request) {
		if *mute {
			note("asked")
			<-r.Context().Done()
		}
		fmt.Fprint(w, "hello")
	})
	mux.HandleFunc("/late", func(w http.ResponseWriter, r *http.Request) {
		ms, _ := strconv.Atoi(r.FormValue("ms"))
		select {
		case <-time.After(time.Duration(ms) * time.Millisecond):
			fmt.Fprint(w, "late")
		case <-r.Context().Done():
		}
	})
	srv := &http.Server{Handler: mux}
	srv.SetKeepAlivesEnabled(!*closes)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	sig := <-signals
	note("told " + sig.String())
	if *stays {
		time.Sleep(time.Hour)
	}
	check(srv.Close())
	<-served
	note("closed")
}

// note adds a line to the diary, whole even where several processes do.
func note(line string) {
	if *diary == "" {
		return
	}
	f, err := os.OpenFile(*diary, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666)
	check(err)
	_, err = f.WriteString(strings.TrimSpace(line) + "\n")
	check(err)
	check(f.Close())
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
