//go:build linux

package handover_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"rstserver/linger"
	"rstserver/linger/handover"
	"rstserver/poller"
)

// A program with net/http that restarts when it is told to, by a request or by SIGUSR2.
func restarting() {
	h, err := handover.New(handover.Options{Signals: []os.Signal{syscall.SIGUSR2}, Timeout: time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, os.Getpid()) })
	http.HandleFunc("POST /restart", func(w http.ResponseWriter, r *http.Request) {
		if err := h.HandOver(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError) // and everything goes on
			return
		}
		fmt.Fprint(w, "success") // the successor answers the next request
	})
	err = h.Run(context.Background(), "tcp", os.Getenv("ADDR"), func(l *linger.Listener) handover.Server {
		srv := &http.Server{Handler: h.Handler(nil)}
		go srv.Serve(l)
		return srv
	})
	if err != nil {
		log.Fatal(err)
	}
}

// The same with poller, which says "Connection: close" by itself, and becomes ready when all of it is.
func restartingOnPoller() {
	h, err := handover.New(handover.Options{Signals: []os.Signal{syscall.SIGUSR2}, Timeout: time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, os.Getpid()) })
	http.HandleFunc("POST /restart", func(w http.ResponseWriter, r *http.Request) {
		if err := h.HandOver(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprint(w, "success")
	})
	err = h.Run(context.Background(), "tcp", os.Getenv("ADDR"), func(l *linger.Listener) handover.Server {
		srv := &poller.Server{}
		go srv.Serve(l)
		return srv
	})
	if err != nil {
		log.Fatal(err)
	}
}

func init() {
	programs["restarting"], programs["restarting on poller"] = restarting, restartingOnPoller
}

// A request has the server restart, and is told of success. The next request is answered by another process.
func Example_restart() {
	for _, program := range []string{"restarting", "restarting on poller"} {
		addr, end := launch(program)
		before := ask("GET", addr, "/")
		fmt.Println(ask("POST", addr, "/restart"))
		fmt.Println("another process answers:", ask("GET", addr, "/") != before)
		end()
	}
	// Output:
	// success
	// another process answers: true
	// success
	// another process answers: true
}

// launch starts a program of this file on an address that is free, and returns when it answers. end kills it and its successors.
func launch(program string) (addr string, end func()) {
	l, err := linger.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	addr = l.Addr().String()
	l.Close()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), programEnv+"="+program, "ADDR="+addr)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that all of them can be killed
	// It is not open any more when all of them have ended.
	alive, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		log.Fatal(err)
	}
	for ask("GET", addr, "/") == "" {
	}
	return addr, func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		io.Copy(io.Discard, bufio.NewReader(alive))
		cmd.Wait()
	}
}

// ask returns the answer to a request on a connection of its own, nothing if nobody listens yet.
func ask(method, addr, path string) string {
	r, err := http.NewRequest(method, "http://"+addr+path, strings.NewReader(""))
	if err != nil {
		log.Fatal(err)
	}
	r.Close = true
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return ""
	}
	defer answer.Body.Close()
	b, _ := io.ReadAll(answer.Body)
	return string(b)
}
