// Command gnet is gnet with a fixed answer to every request that it can count: what the framework costs without HTTP. On
// SIGTERM it lets go with Engine.Stop, and exits when gnet.Run has returned.
package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/panjf2000/gnet/v2"
	"go.uber.org/zap"
)

type server struct {
	gnet.BuiltinEventEngine
	url string
}

var answer = []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n" +
	"Date: Sun, 22 Nov 2026 10:07:11 GMT\r\nContent-Length: 13\r\n\r\nHello, World!")

func (s *server) OnBoot(engine gnet.Engine) gnet.Action {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	go func() {
		<-signals
		if err := engine.Stop(context.Background()); err != nil {
			log.Fatal(err)
		}
	}()
	fmt.Println("listening on", s.url)
	return gnet.None
}

// OnTraffic counts the ends of heads, so that pipelined requests are answered too, in one write.
func (s *server) OnTraffic(c gnet.Conn) gnet.Action {
	in, _ := c.Next(-1)
	n := bytes.Count(in, []byte("\r\n\r\n"))
	if n == 1 {
		_, _ = c.Write(answer)
	} else {
		_, _ = c.Write(bytes.Repeat(answer, n))
	}
	return gnet.None
}

func main() {
	addr := os.Args[1]
	// gnet's own logger writes to stdout, at a level that only the environment can change.
	logger := zap.Must(zap.NewDevelopment(zap.IncreaseLevel(zap.ErrorLevel))).Sugar()
	err := gnet.Run(&server{url: "http://" + addr}, "tcp://"+addr,
		gnet.WithMulticore(true), gnet.WithReusePort(true), gnet.WithReuseAddr(true), gnet.WithLogger(logger))
	if err != nil {
		log.Fatal(err)
	}
}
