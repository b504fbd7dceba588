# The two that a newcomer needs: `make run` starts the server, `make test` passes the tests. Both need Go and gcc only.
.DEFAULT_GOAL := all

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
NFPM        := github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2
FUZZTIME    ?= 1m
BENCHTIME   ?= 10x
MICROTIME   ?= 100ms
COUNT       ?= 6
CONNECTIONS ?= 10000
PEERS       ?= bin/peers
# Modules of their own, so that what their tests need is not what rstserver needs. The longest to test is the first.
MODULES     := bench/peers poller/interop poller/interop/suites linger/interop
# More of them, which make test leaves alone: what they need takes minutes to compile.
LARGE       := linger/interop/servers poller/interop/http2 cmd/rstserver/deploy/k8s
# What make test runs over TLS, too, of the tests that are about connections without; make soak runs all of them.
OVERTLS     := Schedules|Spread|Release|Reset|Drain|Hijack|AfterAnswer|Pipeline|Queue$$

# Of Debian: what is compared with, and what make interop, dist-check and package-test alone have use for.
DEBIAN      := apache2-bin curl fish gunicorn haproxy libnginx-mod-stream lighttpd mandoc nginx openssl prometheus systemd zsh
CLIENTS     := buildah chromium nghttp2-client python3-autobahn python3-websockets qemu-user

.PHONY: all dist dist-check package-test run build fmt lint test test-own test-modules test-otherwise interop soak fuzz bench bench-micro deps clients peers bench-http bench-latency bench-claims rename clean

all: lint test

build: ## the command, in bin/; its reports name the commit that it is of
	go build -buildvcs=auto -o bin/rstserver ./cmd/rstserver

dist: ## static programs for amd64 and arm64, Debian packages and checksums, in bin/dist, of a clean commit
	GOBIN=$(CURDIR)/bin go install $(NFPM)
	sh cmd/rstserver/deploy/dist.sh bin/dist bin/nfpm

dist-check: dist ## dist, that a second build elsewhere gives the same bytes, and that the program for arm64 serves, under qemu-aarch64
	sh cmd/rstserver/deploy/dist.sh --check bin/dist $(CURDIR)/bin/nfpm
	go test -count=1 -v -run TestEmulated ./cmd/rstserver -emulated $$(ls $(CURDIR)/bin/dist/*_linux_arm64)

package-test: dist ## the Debian package installed, upgraded under load and removed, over a copy of this machine's files, and an image; as root
	go test -count=1 -v -run 'TestPackage|TestContainer' ./cmd/rstserver -package $$(ls $(CURDIR)/bin/dist/*_$$(dpkg --print-architecture).deb) \
	  -program $$(ls $(CURDIR)/bin/dist/*_linux_$$(dpkg --print-architecture))

run: build ## the server, with ARGS
	@exec ./bin/rstserver $(ARGS)

fmt:
	gofmt -w .

# What the modules need is compiled under the race detector for their tests, and is not compiled a second time to be looked at: no
# file of theirs depends on it. With fewer runs of the garbage collector staticcheck takes a quarter less of a processor.
lint: export GOGC ?= 400
lint:
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "gofmt would change:"; echo "$$unformatted"; exit 1; }
	GOBIN=$(CURDIR)/bin go install $(STATICCHECK)
	go vet ./...
	bin/staticcheck ./...
	@for module in $(MODULES); do (set -x; cd $$module && export GOFLAGS="$$GOFLAGS -race" && \
	  go vet ./... && $(CURDIR)/bin/staticcheck ./...) || exit 1; done

# With -short, what tests repeat and choose at random is less, so that all takes some minutes; no test is left out.
# Of go vet, lint has run all; go test's own run of a part of it would look through the standard library once more.
# Many tests wait for what has a time of its own, so lint and the modules' tests run beside the rest, and more tests at a time than
# there are processors, of those that say that they can be.
# The race detector's second at every exit is for goroutines that end late: tests, and what they start, have waited for theirs.
test: ## gofmt, vet, staticcheck and all tests under the race detector, and what that hides
	@GORACE="atexit_sleep_ms=0 $$GORACE" $(MAKE) --no-print-directory -j2 lint test-own test-modules test-otherwise

# go test begins with the packages that are named first: the longest last would have one processor idle.
test-own:
	go test -vet=off -race -short -shuffle=on -parallel 8 ./cmd/rstserver ./bench ./poller ./linger ./...

test-modules:
	@for module in $(MODULES); do (set -x; cd $$module && go test -vet=off -race -short -shuffle=on -parallel 8 -count=1 ./...) || exit 1; done

test-otherwise:
	go test -vet=off -race -short -shuffle=on -run '$(OVERTLS)' ./poller -tls
	go test -vet=off -run Alloc ./httpcodec ./poller
	go test -vet=off ./internal/elsewhere

interop: ## tests of chi, gin, echo, connect and others on poller, a table of them, HTTP/2 clients; linger under other people's servers
	cd poller/interop/suites && go test -count=1 -timeout 60m -v ./...
	go test -count=1 -v -run Chat ./poller/sse
	GOBIN=$(CURDIR)/bin go install $(STATICCHECK)
	@for module in $(LARGE); do (set -x; cd $$module && export GOFLAGS="$$GOFLAGS -race" && go vet ./... && \
	  $(CURDIR)/bin/staticcheck ./... && go test -vet=off -count=1 -timeout 60m -v ./...) || exit 1; done

soak: ## all tests, with every repetition and random schedule: before a release, and after a change to what runs at the same time
	go test -race -shuffle=on -count=1 -timeout 60m ./...
	@for module in $(MODULES) $(LARGE); do (set -x; cd $$module && go test -race -shuffle=on -count=1 -timeout 60m ./...) || exit 1; done
	go test -race -shuffle=on -count=1 -timeout 60m ./poller -tls
	go test -run Alloc -count=1 ./httpcodec ./poller
	go test -count=1 ./internal/elsewhere

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

clients: deps ## programs of Debian's that make interop has as clients, a browser among them, and what dist-check and package-test need, as root
	DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -y --no-install-recommends $(CLIENTS)

peers: ## the programs to compare with, in PEERS: Go programs, node/server.js, and scripts that start nginx and others
	bench/peers/install.sh $(PEERS)

bench-http: build ## requests a second, and processor time for each, beside others; 1 when a bound does not hold
	bench/peers/install.sh $(PEERS) go
	$(PEERS)/serving -peers $(PEERS) $(ARGS) costs

bench-latency: build ## how long clients wait at fixed rates, beside others, also while 10,000 connections are held or told
	bench/peers/install.sh $(PEERS) go
	bench/peers/install.sh $(PEERS) debian || : nginx is left out where it is missing
	$(PEERS)/serving -peers $(PEERS) -rounds 3 $(ARGS) latency

bench-claims: build ## what the README files claim of speed and memory, measured again, with a verdict; 1 when something does not hold
	bench/peers/install.sh $(PEERS) go
	go run ./bench/claims -peers $(PEERS) $(ARGS)

rename: ## the module, and all that imports it, under another path: MODULE=example.com/you/rstserver
	@sh internal/rename/rename.sh '$(MODULE)'

clean:
	rm -rf bin
