# The two that a newcomer needs: `make run` starts the server, `make test` passes the tests. Both need Go and gcc only.
.DEFAULT_GOAL := all

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME    ?= 1m
BENCHTIME   ?= 10x
MICROTIME   ?= 100ms
COUNT       ?= 6
CONNECTIONS ?= 10000
PEERS       ?= bin/peers
# Modules of their own, so that what their tests need is not what rstserver needs.
MODULES     := poller/interop poller/interop/suites linger/interop bench/peers
# One more, which make test leaves alone: its servers alone take minutes to compile.
SERVERS     := linger/interop/servers
# What make test runs over TLS, too, of the tests that are about connections without; make soak runs all of them.
OVERTLS     := Schedules|Spread|Release|Reset|Drain|Hijack|AfterAnswer|Pipeline|Queue$$

# Of Debian: what is compared with, and clients that are not Go's, which make interop alone has use for.
DEBIAN      := apache2-bin curl gunicorn haproxy lighttpd nginx openssl systemd
CLIENTS     := chromium python3-autobahn python3-websockets

.PHONY: all run build fmt lint test test-own test-modules test-otherwise interop soak fuzz bench bench-micro deps clients peers bench-http clean

all: lint test

build: ## the command, in bin/; its reports name the commit that it is of
	go build -buildvcs=auto -o bin/rstserver ./cmd/rstserver

run: build ## the server, with ARGS
	@exec ./bin/rstserver $(ARGS)

fmt:
	gofmt -w .

# What the modules need is compiled under the race detector for their tests, and is not compiled a second time to be looked at: no
# file of theirs depends on it.
lint:
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "gofmt would change:"; echo "$$unformatted"; exit 1; }
	GOBIN=$(CURDIR)/bin go install $(STATICCHECK)
	go vet ./...
	bin/staticcheck ./...
	@for module in $(MODULES); do (set -x; cd $$module && export GOFLAGS="$$GOFLAGS -race" && \
	  go vet ./... && $(CURDIR)/bin/staticcheck ./...) || exit 1; done

# With -short, what tests repeat and choose at random is less, so that all takes some minutes; no test is left out.
# Of go vet, lint has run all; go test's own run of a part of it would look through the standard library once more.
# Many tests wait for what has a time of its own, so the modules are tested beside the rest, and more tests at a time than there are
# processors, of those that say that they can be.
# The race detector's second at every exit is for goroutines that end late: tests, and what they start, have waited for theirs.
test: lint ## gofmt, vet, staticcheck and all tests under the race detector, then what that hides
	@GORACE="atexit_sleep_ms=0 $$GORACE" $(MAKE) --no-print-directory -j2 test-own test-modules test-otherwise

# go test begins with the packages that are named first: the longest last would have one processor idle.
test-own:
	go test -vet=off -race -short -shuffle=on -parallel 8 ./cmd/rstserver ./bench ./poller ./linger ./...

test-modules:
	@for module in $(MODULES); do (set -x; cd $$module && go test -vet=off -race -short -shuffle=on -parallel 8 -count=1 ./...) || exit 1; done

test-otherwise:
	go test -vet=off -race -short -shuffle=on -run '$(OVERTLS)' ./poller -tls
	go test -vet=off -run Alloc ./httpcodec ./poller

interop: ## the tests of chi, gin, echo, connect and others, on poller, and a table of them; linger under other people's servers
	cd poller/interop/suites && go test -count=1 -timeout 60m -v ./...
	GOBIN=$(CURDIR)/bin go install $(STATICCHECK)
	cd $(SERVERS) && export GOFLAGS="$$GOFLAGS -race" && go vet ./... && $(CURDIR)/bin/staticcheck ./... && \
	  go test -vet=off -count=1 -timeout 60m -v ./...

soak: ## all tests, with every repetition and random schedule: before a release, and after a change to what runs at the same time
	go test -race -shuffle=on -count=1 -timeout 60m ./...
	@for module in $(MODULES) $(SERVERS); do (set -x; cd $$module && go test -race -shuffle=on -count=1 -timeout 60m ./...) || exit 1; done
	go test -race -shuffle=on -count=1 -timeout 60m ./poller -tls
	go test -run Alloc -count=1 ./httpcodec ./poller

fuzz: ## every fuzz target for FUZZTIME
	@for package in $$(go list ./...); do \
	  for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz'); do \
	    echo "$$package $$target"; \
	    go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x $$package || exit 1; \
	  done; \
	done

bench: build ## how servers let go of their port, with ARGS, such as ARGS='--peers all' behind make peers
	@exec ./bin/rstserver bench --peers-dir $(PEERS) $(ARGS)

# Two runs are compared with benchstat, and so are the implementations of one:
#
#	make bench-micro >old.txt
#	make bench-micro >new.txt
#	go run golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da old.txt new.txt
#	go run golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da -filter '.fullname:/impl=/' -col /impl new.txt
bench-micro: ## the pieces, COUNT times for MICROTIME each, as benchstat reads it
	@go test -run '^$$' -bench . -benchmem -benchtime $(MICROTIME) -count $(COUNT) -timeout 60m ./httpcodec ./linger ./poller
	@cd bench/peers && go test -run '^$$' -bench . -benchmem -benchtime $(MICROTIME) -count $(COUNT) -timeout 60m ./codec

deps: ## programs of Debian's that tests and comparisons need, as root
	apt-get -o DPkg::Lock::Timeout=600 update
	DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -y --no-install-recommends $(DEBIAN)

clients: deps ## programs of Debian's that make interop has speak WebSocket, a browser among them, as root
	DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -y --no-install-recommends $(CLIENTS)

peers: ## the programs to compare with, in PEERS: Go programs, node/server.js, and scripts that start nginx and others
	bench/peers/install.sh $(PEERS)

bench-http: build ## requests per second with wrk, which has to be installed (Debian: apt-get install wrk)
	bench/peers/install.sh $(PEERS) go
	bench/peers/throughput.sh 11 3 'rstserver=bin/rstserver --quiet --addr' gnet=$(PEERS)/gnet \
	  fasthttp=$(PEERS)/fasthttp pooled=$(PEERS)/pooled nethttp=$(PEERS)/nethttp

clean:
	rm -rf bin
