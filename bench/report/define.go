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
		{"× floor", "the median of port free divided by that of the floor: the least that the same work takes here with bare system calls."},
		{"× best peer", "the same against the peer whose port is free first."},
		{"clients told", "from the signal until the last client has read that its connection is over. The clients share the machine with " +
			"the server and read one after the other, so this is an upper bound, as fine as one wake-up of a client process."},
		{"last end", "from the signal until the last client was sent its first RST or FIN, by the time that the kernel stamped that segment with on the " +
			"loopback interface: how the server did, whenever the clients get a processor to read it. Seeing that costs the server some time, " +
			"so it is done in runs of its own, which are in no other figure."},
		{"RST, FIN, lost", "connections by the first of these that was sent, and segments that the kernel had no room to keep. With some lost it is " +
			"not known whether all connections ended."},
		{"how told", "clients that read ECONNRESET (reset), a clean end (EOF), the whole answer that they waited for (answered), " +
			"another error (failed), or nothing until the timeout (untold)."},
		{"left on the port", "sockets of any state that the kernel has on the port once the clients are told and the processes have ended, each counted. " +
			"A TIME_WAIT can be ended early by a segment of the client's that crosses (RFC 1337), so there may be some fewer than connections."},
		{"refused", "from the signal until a connect is refused, found like port free."},
		{"process gone", "from the signal until the last process of the server has ended, as fine as its parent is woken."},
		{"processor", "time of the server's processes on all processors, from the signal to their end, by the kernel's accounting. " +
			"The connects of the probe, until one is refused, are part of the work."},
		{"resident", "memory of the server's processes before the signal, in pages, by the kernel's accounting."},
		{"opened per second", "connections of the clients, each to where its kind wants it, by the time that all took, in which the kernel has also " +
			"said of each that the server has taken it in. The bare pair is the floor and a program of epoll and bare system calls that sends one " +
			"request on each, in the same runs."},
		{"µs per connection", "the median divided by the number of connections."},
		{"median (least–greatest)", "over all runs. A run without the figure counts as slower than all others, so there is a median only " +
			"if more than half of the runs have the figure; “3 of 5” are those that have it. “Not in 60 s” is how long was waited."},
		{"scatter", "is warned of if the upper quartile of the runs is more than 1.5 times the lower one and further away than twice the " +
			"probe resolves, or if the figure came in some runs only."},
	}
}

// attained is how finely the probe of d saw, in words. It is empty if nothing was seen.
func (d *Document) attained() string {
	at := func(name string, width time.Duration) string { return name + " to " + ms(width) + "\u00a0ms" }
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
