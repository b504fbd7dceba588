// Command rawgnet is gnet with a fixed answer to every request that it can count: what the framework costs without HTTP.
package main

import (
	"bytes"
	"fmt"
	"log"
	"os"

	"github.com/panjf2000/gnet/v2"
	"github.com/panjf2000/gnet/v2/pkg/logging"
)

type server struct {
	gnet.BuiltinEventEngine
	url string
}

var answer = []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n" +
	"Date: Sun, 22 Nov 2026 10:07:11 GMT\r\nContent-Length: 13\r\n\r\nHello, World!")

func (s *server) OnBoot(gnet.Engine) gnet.Action {
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
	log.Fatal(gnet.Run(&server{url: "http://" + addr}, "tcp://"+addr,
		gnet.WithMulticore(true), gnet.WithReusePort(true), gnet.WithReuseAddr(true), gnet.WithLogLevel(logging.ErrorLevel)))
}
