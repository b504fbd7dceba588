package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
)

// claims are all of them, those of one command beside each other.
func claims(program, peers string) []claim {
	words := func(s string) []string { return strings.Fields(s) }
	measure := func(args string) []string { return append([]string{program, "bench", "--json", "-"}, words(args)...) }
	benchmarks := func(pattern, times, of string) []string {
		return []string{"go", "test", "-run", "^$", "-bench", pattern, "-benchtime", times, of}
	}

	const abort, drain, kill, floor = "rstserver abort", "rstserver drain", "rstserver kill -9", "floor"
	const n, idle, readme = 10_000, "idle", "poller/README.md"
	teardown := measure("--n 1000,10000 --runs 5 --peers rstserver,rstserver-drain,rstserver-kill,floor,floor-linger,nethttp-map")
	free := func(server string) figure { return cell(server, n, idle, portFree) }
	ms := func(file, says, server string, claimed float64) claim {
		return claim{file, says, teardown, free(server), claimed, false, "ms", ofTime}
	}
	list := []claim{
		{"README.md", "The port is free about as fast as bare system calls can make it", teardown, over(free(abort), free(floor)), 1, false, "×", ofRatio},
		{readme, "This server takes 73 ms, 0.97 times", teardown, over(free(abort), free(floor)), 0.97, false, "×", ofRatio},
		ms(readme, "This server takes 73 ms", abort, 73),
		{readme, "costs 5.3 to 7.2 µs for each connection", teardown, func(text string) (float64, error) {
			v, err := free(abort)(text)
			return v * 1000 / n, err
		}, 7.2, false, "µs", ofTime},
		{readme, "98 ms by SO_LINGER and `close`, 1.29 times as long", teardown, over(free("floor linger"), free(floor)), 1.29, true, "×", ofRatio},
		{readme, "takes 394 ms, 5.23 times", teardown, over(free("net/http map + SetLinger(0)"), free(floor)), 5.23, true, "×", ofRatio},
		ms(readme, "connections one by one, takes 157 ms", kill, 157),
		ms(readme, "a drain, which asks each whether it is idle, 78 ms", drain, 78),
		{readme, "| 23 MiB | 12 MiB | 165 MiB | 209 MiB |", teardown, cell(abort, n, idle, resident), 23, false, "MiB", ofMemory},
		{"poller/doc.go", "where one of HTTP/1.1 costs a few hundred bytes", teardown, each(abort, 1000, n, idle, anonymous), 999, false, "bytes", exact},
		ms("linger/README.md", "10,000 idle connections are gone after 73 ms", abort, 73),
		ms("linger/README.md", "That takes 78 ms for 10,000 idle ones", drain, 78),
		ms("linger/README.md", "10,000 resets, port free after 157 ms", kill, 157),
	}

	secure := measure("--tls --n 500,2500 --kind idle --kind h2 --runs 1 --peers rstserver")
	const overTLS = " over TLS"
	list = append(list,
		claim{"poller/doc.go", "two goroutines and some 50 KB while it is idle", secure, each(abort, 500, 2500, "h2"+overTLS, anonymous), 50_000, false, "bytes", ofRatio},
		claim{readme, "costs what it does there, some 50 KB", secure, each(abort, 500, 2500, "h2"+overTLS, anonymous), 50_000, false, "bytes", ofRatio},
		claim{"bench/README.md", "A client's end of each takes some 9 KB", secure, each(abort, 500, 2500, idle+overTLS, ofClients), 9_000, false, "bytes", ofRatio},
	)

	echo := measure("--echo --n 10000 --runs 1 --peers rstserver,rstserver-handler")
	ofEach := func(server string) figure {
		return found(`"server":"` + regexp.QuoteMeta(server) + `"[^}]*"memory_bytes":\[(\d+)`)
	}
	const ofWebSockets = "| **1,054 bytes** | **1,434** | 1,691 |"
	list = append(list,
		claim{readme, "1.1 KB of anonymous memory each where a LoopHandler has begun them", echo, ofEach(abort), 1100, false, "bytes", ofMemory},
		claim{"bench/README.md", ofWebSockets, echo, ofEach(abort), 1054, false, "bytes", ofMemory},
		claim{"bench/README.md", ofWebSockets, echo, ofEach("rstserver http.Handler"), 1434, false, "bytes", ofMemory},
	)

	messages := func(flag string) []string {
		return append([]string{program, "bench", "--peers", "rstserver,gws", "--runs", "3"}, flag)
	}
	listed := func(server, unit string) figure {
		return found(`(?m)^` + regexp.QuoteMeta(server) + `\s+([0-9,.]+)` + unit + `\s`)
	}
	list = append(list,
		claim{"bench/README.md", "| echoes a second | 74,110 | 65,963 | 62,279 |", messages("--echo"), over(listed(abort, ""), listed("gws", "")), 1.19, true, "×", ofRatio},
		claim{"bench/README.md", "until the last of 10,000 has a message | 102 | 109 | 122 |", messages("--broadcast"), over(listed(abort, "ms"), listed("gws", "ms")), 0.84, false, "×", ofRatio},
		claim{"bench/README.md", "answered after 0.6 ms, and 8.6 ms at the most", messages("--broadcast"), found(`(?m)^rstserver abort\s.*\s([0-9.]+)ms\s+[0-9,]+ bytes`), 8.6, false, "ms", ofTime},
	)

	serving := []string{filepath.Join(peers, "serving"), "-rounds", "3", "-program", program, "-peers", peers, "costs"}
	perSecond := func(what, server string) figure {
		return found(`(?m)^\s*` + regexp.QuoteMeta(what) + `\s+` + regexp.QuoteMeta(server) + `\s+(\d+)\s`)
	}
	faster := func(says, what, ours, theirs string, claimed float64) claim {
		return claim{readme, says, serving, over(perSecond(what, ours), perSecond(what, theirs)), claimed, true, "×", ofRatio}
	}
	const handler = "the same handler here"
	list = append(list,
		faster("| 119,024 | 122,298 | 112,097 | 72,818 |", "GET /", "rstserver", "gnet", 0.97),
		faster("| 119,024 | 122,298 | 112,097 | 72,818 |", "GET /", "rstserver", "nethttp", 1.63),
		faster("| 1,408,005 | 1,469,662 | 879,246 | 115,135 |", "pipelined", "rstserver", "gnet", 0.96),
		faster("| 1,408,005 | 1,469,662 | 879,246 | 115,135 |", "pipelined", "rstserver", "fasthttp", 1.6),
		faster("| 92,560 | | | 72,818 |", "GET /", handler, "nethttp", 1.27),
		faster("| 126,086 | | | 115,135 |", "pipelined", handler, "nethttp", 1.1),
	)

	allocations := words("go test -count=1 -run Alloc ./httpcodec ./poller")
	streaming := words("go test -count=1 -run Streaming -v ./bench")
	streams := words("go test -count=1 -v -run TestMemory ./poller/sse -streams 10000")
	ofStreams := func(what string) figure { return found(what + `\s+(\d+) bytes for each`) }
	list = append(list,
		claim{readme, "A request on the loop allocates nothing", allocations, failed, 0, false, "failed", exact},
		claim{readme, "takes 12 to 14 MB of memory in all", streaming, most(`at the most ([0-9.]+) MB resident`), 14, false, "MB", ofMemory},
	)
	for _, file := range []string{readme, "poller/sse/doc.go"} {
		its := ""
		if file != readme {
			its = "the process's "
		}
		list = append(list,
			claim{file, fmt.Sprintf("ten events take 1.3 KB of %sanonymous memory each", its), streams, ofStreams(`sse\.Accept`), 1300, false, "bytes", ofMemory},
			claim{file, "28 KB on net/http", streams, over(ofStreams(`handler of net/http`), ofStreams(`handler of a poller\.Server`)), 2.8, true, "×", ofRatio},
		)
	}

	listener, listenerAbort := benchmarks("Listener$", "500x", "./linger"), benchmarks("ListenerAbort", "5x", "./linger")
	abortAll := benchmarks("BenchmarkAbortAll/impl=AbortAll/sweep=false", "3x", "./linger")
	tracked := func(what string) figure {
		return over(benchmark("Listener/"+what, "tracked-ns"), benchmark("Listener/"+what, "bare-ns"))
	}
	handover := measure("--restart own --runs 1 --window 1s --peers rstserver")
	return append(list,
		claim{"linger/README.md", "A request took 37.5 µs with it and 37.0 µs without", listener, tracked("request"), 1.01, false, "×", ofRatio},
		claim{"linger/README.md", "a connection with one request 127 µs and 122 µs", listener, tracked("connection"), 1.04, false, "×", ofRatio},
		claim{"linger/README.md", "are gone after 70 ms, and after 272 ms with a map of connections", listenerAbort, over(benchmark("ListenerAbort", "listener-ms"), benchmark("ListenerAbort", "map-ms")), 0.26, false, "×", ofTime},
		claim{"linger/README.md", "connections each are gone and verified after 0.1–0.2 s", abortAll, benchmark("AbortAll/impl=AbortAll/sweep=false/listeners=1000/connections=5000", "ms/all"), 200, false, "ms", ofTime},
		claim{"cmd/rstserver/README.md", "request three additions in memory of its loop's own, 18 ns", benchmarks("Count$", "100ms", "./poller"), benchmark("Count", "ns/op"), 18, false, "ns", ofTime},
		claim{"README.md", "by our handover 0", handover, lost("rstserver handover"), 0, false, "lost", exact},
		claim{"bench/README.md", "| **0** | **0** | 0.2 | 0.7 |", handover, lost("rstserver handover"), 0, false, "lost", exact},
	)
}
