// Package servers tries linger.Listener under other people's servers, and keeps the table of them in linger/README.md.
//
//	go test -race -v                      all of them, and whether the table is what was seen
//	go test -race -v -run Servers/gin     one of them
//	go test -race -update                 write the table
//
// It is a module of its own, and no part of make test, since to compile all these servers takes minutes: make interop runs it.
package servers
