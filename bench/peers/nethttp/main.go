// Command nethttp answers every request as rstserver's GET / does, with net/http. With a folder behind the address it serves its files, too.
package main

import (
	"fmt"
	"log"
	"net"
	"net/http"
	"os"

	"rstserver/bench/peers/hello"
)

func main() {
	ln, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening on http://" + ln.Addr().String())
	log.Fatal(http.Serve(ln, hello.With(os.Args[2:])))
}
