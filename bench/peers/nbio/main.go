// Command nbio answers as rstserver's GET /, /slow, /bytes, /events and /upgrade do, and GET and POST /events/room, with nbio's HTTP server. On SIGTERM it lets go
// with Engine.Stop, as nbio's examples do, and exits when that has returned.
package main

import (
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

	"github.com/lesismal/nbio"
	"github.com/lesismal/nbio/logging"
	"github.com/lesismal/nbio/nbhttp"

	"rstserver/bench/peers/events"
)

func main() {
	// Engine.Start hangs where it cannot listen.
	ln, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	zeros, err := sparse()
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", hello)
	mux.HandleFunc("GET /slow", slow)
	mux.HandleFunc("GET /bytes", func(w http.ResponseWriter, r *http.Request) { sendBytes(w, r, zeros) })
	mux.HandleFunc("GET /events", func(w http.ResponseWriter, r *http.Request) {
		ms, err := strconv.ParseUint(r.FormValue("ms"), 10, 31)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		stream(w, func(send func([]byte) error) { events.Tick(int(ms), send) })
	})
	var room events.Room
	mux.HandleFunc("GET /events/room", func(w http.ResponseWriter, r *http.Request) { stream(w, room.Serve) })
	mux.HandleFunc("POST /events/room", func(w http.ResponseWriter, r *http.Request) {
		data, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		room.Post(data)
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /upgrade", upgrade)

	logging.SetLevel(logging.LevelError) // the others go to stdout
	engine := nbhttp.NewEngine(nbhttp.Config{
		Network:       "tcp",
		Addrs:         []string{os.Args[1]},
		Listen:        func(string, string) (net.Listener, error) { return ln, nil },
		Handler:       mux,
		KeepaliveTime: 10 * time.Minute,
		// As many handlers may wait as there are connections.
		ServerExecutor: func(f func()) { go f() },
	})
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	if err := engine.Start(); err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening on http://" + ln.Addr().String())
	<-signals
	engine.Stop()
}

func hello(w http.ResponseWriter, _ *http.Request) { sendText(w, "Hello, World!") }

func slow(w http.ResponseWriter, r *http.Request) {
	ms, err := strconv.ParseUint(r.FormValue("ms"), 10, 31)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	time.Sleep(time.Duration(ms) * time.Millisecond)
	sendText(w, fmt.Sprintf("slept %d ms\n", ms))
}

// sendText says how long the text is. Without that nbio sends it in a chunk, however short it is.
func sendText(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = io.WriteString(w, text)
}

// sendBytes sends a file, since that is all that nbio lets wait until the client takes it: it puts bytes into a buffer without
// a bound.
func sendBytes(w http.ResponseWriter, r *http.Request, zeros *os.File) {
	n, err := strconv.ParseInt(r.FormValue("n"), 10, 64)
	if err != nil || n < 0 || n > fileSize {
		http.Error(w, fmt.Sprintf("n has to be a number from 0 to %d", int64(fileSize)), http.StatusBadRequest)
		return
	}
	// A description of the file for each answer, since each has its own place in it.
	file, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", zeros.Fd()))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer file.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	w.WriteHeader(http.StatusOK)
	_, _ = io.CopyN(w, file, n)
}

const fileSize = 1 << 40

// sparse is a file of fileSize zeros that takes no space, and no name either.
func sparse() (*os.File, error) {
	file, err := os.CreateTemp("", "nbio")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, err
	}
	return file, file.Truncate(fileSize)
}

// stream makes the answer an event stream, which serve sends events on. The connection is hijacked, since nbio's Flush does not say that the client has gone.
func stream(w http.ResponseWriter, serve func(send func(event []byte) error)) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"); err != nil {
		return
	}
	serve(func(event []byte) error {
		_, err := fmt.Fprintf(conn, "%x\r\n%s\r\n", len(event), event)
		return err
	})
}

func upgrade(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != "echo" {
		http.Error(w, "this is for Upgrade: echo", http.StatusUpgradeRequired)
		return
	}
	hijacked, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	conn := hijacked.(*nbhttp.Conn).Conn.(*nbio.Conn)
	_ = conn.SetReadDeadline(time.Time{})
	conn.OnData(func(c *nbio.Conn, data []byte) { _, _ = c.Write(data) })
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
}
