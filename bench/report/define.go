package report

import (
	"time"

	"rstserver/internal/prose"
)

// Definition says what a figure of the report means, and how finely it was measured.
type Definition struct{ Name, Text string }

// Definitions are those of all figures, in the order of the tables.
func Definitions() []Definition {
	return []Definition{
		{"port free", "from the signal until a bind of the port without SO_REUSEADDR succeeds: the end of the first probe that does. " +
			"It is never too early, and late by no more than the time since the last probe in vain."},
		{"× floor", "the median of port free divided by that of the floor: the least that the same work takes here with bare system calls. The floor has " +
			"no TLS: where others are measured over TLS its clients only connect, so it is what ending as many sockets takes, and nothing else."},
		{"× best peer", "the same against the peer whose port is free first."},
		{"clients told", "from the signal until the last client has read that its connection is over. The clients share the machine with " +
			"the server and read one after the other, so this is an upper bound, as fine as one wake-up of a client process."},
		{"last end", "from the signal until the last client was sent its first RST or FIN, by the time that the kernel stamped that segment with on the " +
			"loopback interface: how the server did, whenever the clients get a processor to read it. Seeing that costs the server some time, " +
			"so it is done in runs of its own, which are in no other figure."},
		{"RST, FIN, lost", "connections by the first of these that was sent, and segments that the kernel had no room to keep. With some lost it is " +
			"not known whether all connections ended."},
		{"how told", "clients that read ECONNRESET (reset), a clean end (EOF), the whole answer that they waited for (answered), " +
			"another error (failed), or nothing until the timeout (untold). What the server had said before stands before it: the close frame of a WebSocket, " +
			"close_notify of TLS, without which a clean end may be anybody's (RFC 8446, section 6.1), or GOAWAY of HTTP/2, upon which the client closes, if " +
			"no stream is open (left), as users' do."},
		{"left on the port", "sockets of any state that the kernel has on the port once the clients are told and the processes have ended, each counted. " +
			"A TIME_WAIT can be ended early by a segment of the client's that crosses (RFC 1337), so there may be some fewer than connections."},
		{"refused", "from the signal until a connect is refused, found like port free."},
		{"process gone", "from the signal until the last process of the server has ended, as fine as its parent is woken."},
		{"processor", "time of the server's processes on all processors, from the signal to their end, by the kernel's accounting. " +
			"The connects of the probe, until one is refused, are part of the work."},
		{"resident", "memory of the server's processes before the signal, in pages, by the kernel's accounting."},
		{"over, least, most", "the time from the first client that was told to the last, and how many were within each 100 ms of it. Only of servers that took a second and more, with 20 and more in each, one with the other."},
		{"MiB before the signal", "memory, but for resident: what the processes of either end hold in pages that are no part of a file, and what the kernel has " +
			"taken since before the server was started, for both ends, in slabs, page tables, stacks and vmalloc. Whatever else the machine does " +
			"meanwhile is in that, too. Queues are what TCP has accounted for what waits to be sent or read, which mostly is in the slabs."},
		{"taking in", "processor time of the server while the connections were opened, each to where its kind wants it."},
		{"holding", "processor time of the server for each second that the connections were held before the signal, with what it asks of them, such as pings."},
		{"user, system, softirq", "processor time of the server by mode, as the kernel shares it out by the ticks of its clock; and of all processors in soft interrupts " +
			"from the signal until the server has ended and the clients know, to a hundredth of a second: where segments arrive, whichever " +
			"process has sent them. Some of it is in the time of the server, and of the clients."},
		{"grown", "by how much the anonymous memory of the server's processes (RssAnon of proc_pid_status(5)) had grown then since it had come to listen, divided by the connections."},
		{"opened per second", "connections of the clients, each to where its kind wants it, by the time that all took, in which the kernel has also " +
			"said of each that the server has taken it in. The bare pair is the floor and a program of epoll and bare system calls that sends one " +
			"request on each, in the same runs."},
		{"µs per connection", "the median divided by the number of connections."},
		{"bytes for each beyond the fewest", "by how much the median is greater than with the fewest connections, divided by how many more these are: what a process " +
			"has without any connection is not in it."},
		{"median (least–greatest)", "over all runs. A run without the figure counts as slower than all others, so there is a median only " +
			"if more than half of the runs have the figure; “3 of 5” are those that have it. “Not in 60 s” is how long was waited."},
		{"scatter", "is warned of if the upper quartile of the runs is more than 1.5 times the lower one and further away than twice the " +
			"probe resolves, or if the figure came in some runs only."},
	}
}

// RestartDefinitions are those of the figures of restarts.
func RestartDefinitions() []Definition {
	return []Definition{
		{"lost", "requests that were under way during a restart and were not answered with 200, handshakes not with 101, messages of WebSockets not echoed, but for those in place of whose echo a close frame said 1001 or 1012: the server goes away or restarts. No client " +
			"repeats one by itself. Requests of get and post clients are begun at a rate, so a time without a server costs as many as were due in it."},
		{"refused, reset, clean end, cut answer, 5xx, timeout, other", "how they were lost: no connection was to be had; it was reset, or ended in order, before an answer; " +
			"it ended within one; the status was from 500 to 599; nothing came in 5 s and what a slow answer takes; another status, or no HTTP."},
		{"longest gap", "the longest time in which no get or post client got an answer. Without a restart it is that of the rate and of the machine. – where there are no such clients."},
		{"old process gone", "from the beginning of the restart until the last of the processes that are to go had ended, to a millisecond. A main process that stays, as that " +
			"of nginx does for HUP, is not waited for. When all that change is inside one process there is none to wait for."},
		{"connections cut", "that ended between two requests without an answer having said that it was their last, reset or closed. WebSockets that ended with a close frame (close 1012), and event streams with their last chunk (ended), are named, but not counted. A " +
			"client that finds its kept connection ended before it sends opens another (RFC 9112, section 9.5), so that it is cut, and nothing is lost."},
		{"p50, p99, p99.9, most", "how long get and post clients waited for their answers, from when a request was due: one that a client could not send in time, since the one " +
			"before had no answer, has waited since then. Over all restarts together, to three digits."},
		{"without", "the same in as long a time right behind each restart, under the same clients."},
		{"old, new", "answers for each restart by processes that had answered before it, and by others, as a field of the answers tells. – where none does."},
		{"before, at most", "memory of all processes of the server, in pages, by the kernel's accounting: pages that they share are counted for each. At most is the greatest of all looks, every 20 ms while processes come and go and every 50 ms otherwise: what was for a shorter time may have been more."},
		{"streams, in order, not known", "clients with event streams, those of which ended with their last chunk, and how often one came back and the IDs of events did not tell what it had missed: there are none, or they do not " +
			"go on by one from one stream to the next. No client waits as long as a stream says before it comes back."},
		{"over, least, most", "the time in which connections ended between requests, and how many of them within each 100 ms of it, from the first on; their clients come back at once. " +
			"Only of servers that took a second and more, with 20 and more in each, one with the other."},
		{"clients, server", "processor time of the workers and of all that measures, and of the server's processes, in the windows without a restart, of 100 % for each processor: " +
			"what the workers take, a server on the same machine does not get."},
		{"late", "how late the clients' process was with what it had to do every millisecond: what is no greater than that may be the clients' and not the server's. The worst of all restarts."},
	}
}

// definitions are those of the figures that d has.
func (d *Document) definitions() []Definition {
	switch {
	case len(d.Restarted) == 0:
		return Definitions()
	case len(d.Cells) == 0:
		return RestartDefinitions()
	}
	return append(Definitions(), RestartDefinitions()...)
}

// definitionsOf are those of all documents.
func definitionsOf(docs []*Document) []Definition {
	var all Document
	for _, d := range docs {
		all.Restarted, all.Cells = append(all.Restarted, d.Restarted...), append(all.Cells, d.Cells...)
	}
	return all.definitions()
}

// subject is what documents are about.
func subject(docs []*Document) string {
	restarts, teardowns := false, len(docs) == 0
	for _, d := range docs {
		restarts = restarts || len(d.Restarted) > 0
		teardowns = teardowns || len(d.Restarted) == 0
	}
	const ends = "how fast servers let go of their port and of their clients, and what they leave behind"
	switch {
	case !restarts:
		return ends
	case !teardowns:
		return "what a restart costs the clients of servers"
	}
	return ends + ", and what a restart costs"
}

// attained is how finely the probe of d saw, in words. It is empty if nothing was seen.
func (d *Document) attained() string {
	at := func(name string, width time.Duration) string {
		return name + " to " + prose.Milliseconds(width) + "\u00a0ms"
	}
	var parts []string
	if width := d.resolution(free); width > 0 {
		parts = append(parts, at("port free", width))
	}
	if width := d.resolution(refused); width > 0 {
		parts = append(parts, at("refused", width))
	}
	if len(parts) == 0 {
		return ""
	}
	return prose.Enumerate(parts) + ": the median time between the last probe in vain and the first that succeeded"
}
