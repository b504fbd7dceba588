// Command restarting serves with net/http, and restarts on SIGUSR2 in the way that it is called with behind its address. Answers name their process.
//
//	restarting HOST:PORT tableflip|handover PIDFILE
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/cloudflare/tableflip"

	"rstserver/bench/peers/hello"
	"rstserver/linger"
	"rstserver/linger/handover"
)

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: restarting HOST:PORT tableflip|handover PIDFILE")
	}
	addr, way, pidFile := os.Args[1], os.Args[2], os.Args[3]
	var err error
	switch way {
	case "tableflip":
		err = byTableflip(addr, pidFile)
	case "handover":
		err = byHandover(addr, pidFile)
	default:
		err = fmt.Errorf("%q is no way; tableflip and handover are", way)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// byTableflip is the example of tableflip's documentation, with a drain that has an end.
func byTableflip(addr, pidFile string) error {
	upgrader, err := tableflip.New(tableflip.Options{PIDFile: pidFile})
	if err != nil {
		return err
	}
	defer upgrader.Stop()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR2)
	go func() {
		for range signals {
			if err := upgrader.Upgrade(); err != nil {
				log.Print("upgrade: ", err)
			}
		}
	}()
	ln, err := upgrader.Fds.Listen("tcp", addr)
	if err != nil {
		return err
	}
	srv := server(func(h http.Handler) http.Handler { return h })
	go func() { _ = srv.Serve(ln) }()
	if err := upgrader.Ready(); err != nil {
		return err
	}
	<-upgrader.Exit()
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
	defer cancel()
	return srv.Shutdown(ctx)
}

func byHandover(addr, pidFile string) error {
	h, err := handover.New(handover.Options{PIDFile: pidFile, Signals: []os.Signal{syscall.SIGUSR2}})
	if err != nil {
		return err
	}
	return h.Run(context.Background(), "tcp", addr, func(l *linger.Listener) handover.Server {
		srv := server(h.Handler)
		go func() { _ = srv.Serve(net.Listener(l)) }()
		return srv
	})
}

// server ends its event streams once it is shut down, which net/http leaves to the handler.
func server(wrap func(http.Handler) http.Handler) *http.Server {
	ending, end := context.WithCancel(context.Background())
	srv := &http.Server{Handler: wrap(handler(ending.Done()))}
	srv.RegisterOnShutdown(end)
	return srv
}

// handler answers as rstserver's GET /, POST /echo, GET /slow and GET /events do, the last until ending is closed.
func handler(ending <-chan struct{}) http.Handler {
	process := strconv.Itoa(os.Getpid())
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", hello.Handler)
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) {
		if content, err := io.ReadAll(r.Body); err == nil {
			_, _ = w.Write(content)
		}
	})
	mux.HandleFunc("GET /slow", func(w http.ResponseWriter, r *http.Request) {
		ms, _ := strconv.Atoi(r.FormValue("ms"))
		select {
		case <-time.After(time.Duration(ms) * time.Millisecond):
			_, _ = io.WriteString(w, "slept\n")
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("GET /events", func(w http.ResponseWriter, r *http.Request) {
		ms, err := strconv.Atoi(r.FormValue("ms"))
		if err != nil || ms < 1 {
			http.Error(w, "write /events?ms=1000", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Cache-Control", "no-cache")
		tick := time.NewTicker(time.Duration(ms) * time.Millisecond)
		defer tick.Stop()
		for n := 1; ; n++ {
			if _, err := fmt.Fprintf(w, "id: %d\ndata: %s\n\n", n, time.Now().UTC().Format(time.RFC3339Nano)); err != nil || http.NewResponseController(w).Flush() != nil {
				return
			}
			select {
			case <-tick.C:
			case <-ending:
				return
			case <-r.Context().Done():
				return
			}
		}
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server-Process", process)
		mux.ServeHTTP(w, r)
	})
}
