//go:build linux

package linger_test

import (
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"syscall"

	"rstserver/linger"
)

// As killable does it, with TLS: the server of a test is killed in the middle of a request, which tells its handler too.
func Example_killable() {
	working, ended := make(chan bool), make(chan error)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		working <- true
		<-r.Context().Done()
		ended <- r.Context().Err()
	}))
	ln, err := linger.Wrap(srv.Listener)
	if err != nil {
		log.Fatal(err)
	}
	srv.Listener = ln
	srv.StartTLS()
	defer srv.Close()
	result := make(chan error)
	go func() {
		_, err := srv.Client().Get(srv.URL)
		result <- err
	}()
	<-working

	report, err := ln.Abort()
	fmt.Println("nothing is left:", report.Complete(), err)
	fmt.Println("the client reads ECONNRESET:", errors.Is(<-result, syscall.ECONNRESET))
	fmt.Println("the handler:", <-ended)
	// Output:
	// nothing is left: true <nil>
	// the client reads ECONNRESET: true
	// the handler: context canceled
}
