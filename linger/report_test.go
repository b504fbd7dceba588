package linger

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"rstserver/linger/sockdiag"
)

// reports are the teardowns that one may meet, and how they read.
var reports = []struct {
	name     string
	report   Report
	complete bool
	want     string
}{
	{
		name:   "zero value",
		report: Report{},
		want: `serving nothing
  connections       0 alive`,
	},
	{
		name:   "serving",
		report: Report{Address: "127.0.0.1:8080", Connections: Tally{New: 1, Idle: 1234, Handling: 2}},
		want: `serving 127.0.0.1:8080
  connections       1,237 alive: 1 new, 1,234 idle, 2 handling`,
	},
	{
		name:     "nothing left",
		complete: true,
		report: Report{
			Mode: ModeAbort, Address: "127.0.0.1:8080", Connections: Tally{Idle: 9990, Receiving: 10},
			Steps: steps(120*time.Microsecond, 57340*time.Microsecond, 58900*time.Microsecond, 1071230*time.Microsecond),
			Left:  Left{Source: sockdiag.FromNetlink},
		},
		want: `teardown of 127.0.0.1:8080 by abort: nothing is left, the port is free
  listener refused     0.12 ms
  port free           57.34 ms
  verified            58.90 ms  from netlink
  done              1071.23 ms
  connections       10,000 aborted: 9,990 idle, 10 receiving
  handlers running  0
  left, ours        none
  left, residue     none
  left, others      none`,
	},
	{
		name:     "swept",
		complete: true,
		report: Report{
			Mode: ModeAbort, Address: "127.0.0.1:8080", Steps: steps(1e5, 2e5, 3e5, 4e5),
			Swept: &Swept{Destroyed: 5000}, Left: Left{Source: sockdiag.FromNetlink},
		},
		want: `teardown of 127.0.0.1:8080 by abort: nothing is left, the port is free
  listener refused     0.10 ms
  port free            0.20 ms
  verified             0.30 ms  from netlink
  done                 0.40 ms
  connections       0 aborted
  handlers running  0
  swept             5,000 destroyed that ordinary closes had left
  left, ours        none
  left, residue     none
  left, others      none`,
	},
	{
		name:     "swept in vain",
		complete: true,
		report: Report{
			Mode: ModeAbort, Address: "127.0.0.1:8080", Steps: steps(1e5, 2e5, 3e5, 4e5),
			Swept: &Swept{Refused: 5000, Reason: reason(sockdiag.ErrNotPermitted)},
			Left:  Left{Source: sockdiag.FromNetlink, Residue: sockdiag.Counts{sockdiag.TimeWait: 5000}},
		},
		want: `teardown of 127.0.0.1:8080 by abort: nothing of ours is left
  listener refused     0.10 ms
  port free            0.20 ms  of all that was ours; see below what else is on it
  verified             0.30 ms  from netlink
  done                 0.40 ms
  connections       0 aborted
  handlers running  0
  swept             0 destroyed that ordinary closes had left, 5,000 refused:
                    destroying a socket needs CAP_NET_ADMIN: operation not permitted
  left, ours        none
  left, residue     TIME_WAIT 5000
  left, others      none`,
	},
	{
		name:     "not swept",
		complete: true,
		report: Report{
			Mode: ModeAbort, Address: "127.0.0.1:8080", Steps: steps(1e5, 2e5, 3e5, 4e5),
			Swept: &Swept{Reason: reason(errNoNetlink)}, Left: Left{Source: sockdiag.FromProc},
		},
		want: `teardown of 127.0.0.1:8080 by abort: nothing is left, the port is free
  listener refused     0.10 ms
  port free            0.20 ms
  verified             0.30 ms  from proc
  done                 0.40 ms
  connections       0 aborted
  handlers running  0
  swept             0 destroyed that ordinary closes had left:
                    the kernel does not list its sockets over netlink
  left, ours        none
  left, residue     none
  left, others      none`,
	},
	{
		name:     "nobody was connected",
		complete: true,
		report: Report{
			Mode: ModeAbort, Address: "[::1]:8080",
			Steps: steps(1e5, 2e5, 3e5, 4e5), Left: Left{Source: sockdiag.FromProc},
		},
		want: `teardown of [::1]:8080 by abort: nothing is left, the port is free
  listener refused     0.10 ms
  port free            0.20 ms
  verified             0.30 ms  from proc
  done                 0.40 ms
  connections       0 aborted
  handlers running  0
  left, ours        none
  left, residue     none
  left, others      none`,
	},
	{
		name:     "residue and others",
		complete: true,
		report: Report{
			Mode: ModeAbort, Address: "127.0.0.1:8080", Connections: Tally{Idle: 3},
			Steps: steps(1e5, 2e5, 3e5, 4e5),
			Left: Left{
				Source:  sockdiag.FromNetlink,
				Residue: sockdiag.Counts{sockdiag.TimeWait: 12, sockdiag.FinWait2: 3},
				Others:  sockdiag.Counts{sockdiag.Listen: 1},
			},
		},
		want: `teardown of 127.0.0.1:8080 by abort: nothing of ours is left
  listener refused     0.10 ms
  port free            0.20 ms  of all that was ours; see below what else is on it
  verified             0.30 ms  from netlink
  done                 0.40 ms
  connections       3 aborted: 3 idle
  handlers running  0
  left, ours        none
  left, residue     TIME_WAIT 12, FIN_WAIT2 3
  left, others      LISTEN 1`,
	},
	{
		name: "outlived",
		report: Report{
			Mode: ModeAbort, Address: "127.0.0.1:8080", Connections: Tally{Idle: 1000}, Refused: 2,
			Steps: steps(1e5, 2e5, 3e5, 4e5),
			Left:  Left{Source: sockdiag.FromNetlink, Outlived: sockdiag.Counts{sockdiag.Established: 2}},
		},
		want: `teardown of 127.0.0.1:8080 by abort: NOT complete, connections of ours are left
  listener refused     0.10 ms
  port free            0.20 ms  but the kernel still lists connections of ours
  verified             0.30 ms  from netlink
  done                 0.40 ms
  connections       1,000 aborted: 1,000 idle
                    2 by close, as the kernel refused to reset them in place
  handlers running  0
  left, ours        ESTABLISHED 2
  left, residue     none
  left, others      none`,
	},
	{
		name: "of a Listener, which knows no handlers",
		report: Report{
			Mode: ModeAbort, Address: "127.0.0.1:8080", Connections: Tally{Open: 1000}, HandlersRunning: -1,
			Steps: steps(1e5, 2e5, 3e5, 4e5), Left: Left{Source: sockdiag.FromNetlink},
		},
		complete: true,
		want: `teardown of 127.0.0.1:8080 by abort: nothing is left, the port is free
  listener refused     0.10 ms
  port free            0.20 ms
  verified             0.30 ms  from netlink
  done                 0.40 ms
  connections       1,000 aborted: 1,000 open
  left, ours        none
  left, residue     none
  left, others      none`,
	},
	{
		name: "unverified",
		report: Report{
			Mode: ModeAbort, Address: "127.0.0.1:8080", Connections: Tally{New: 1},
			Steps:      steps(1e5, 2e5, 3e5, 4e5),
			Unverified: "sockdiag: netlink: permission denied",
		},
		want: `teardown of 127.0.0.1:8080 by abort: not verified
  listener refused     0.10 ms
  port free            0.20 ms
  verified          no: sockdiag: netlink: permission denied
  done                 0.40 ms
  connections       1 aborted: 1 new
  handlers running  0`,
	},
	{
		name: "unverified for long reasons",
		report: Report{
			Mode: ModeAbort, Address: "127.0.0.1:8080", Connections: Tally{New: 1},
			Steps: steps(1e5, 2e5, 3e5, 4e5),
			Unverified: "sockdiag: sockets of port 8080: netlink: socket: operation not permitted; open " +
				"/proc/thread-self/net/tcp: permission denied\nand more",
		},
		want: `teardown of 127.0.0.1:8080 by abort: not verified
  listener refused     0.10 ms
  port free            0.20 ms
  verified          no: sockdiag: sockets of port 8080: netlink: socket: operation not permitted;
                    open /proc/thread-self/net/tcp: permission denied; and more
  done                 0.40 ms
  connections       1 aborted: 1 new
  handlers running  0`,
	},
	{
		name: "not finished",
		report: Report{
			Mode: ModeAbort, Address: "127.0.0.1:8080", Connections: Tally{New: 1},
			Steps: Steps{Refused: 1e5},
		},
		want: `teardown of 127.0.0.1:8080 by abort: not finished
  listener refused     0.10 ms
  port free                  -
  verified                   -
  done                       -
  connections       1 aborted: 1 new
  handlers running  0`,
	},
	{
		name:     "stuck loop",
		complete: true,
		report: Report{
			Mode: ModeAbort, Address: "127.0.0.1:8080", Connections: Tally{Idle: 5000, Handling: 1},
			AbortedOutside: 2500, HandlersRunning: 1, Queued: 1234,
			Steps: steps(1e5, 1002e6, 1003e6, 1004e6),
			Left:  Left{Source: sockdiag.FromNetlink},
		},
		want: `teardown of 127.0.0.1:8080 by abort: nothing is left, the port is free
  listener refused     0.10 ms
  port free         1002.00 ms
  verified          1003.00 ms  from netlink
  done              1004.00 ms
  connections       5,001 aborted: 5,000 idle, 1 handling
                    1,234 reset in the queue, as nobody had accepted them
                    2,500 from outside, as their loop was stuck
  handlers running  1
  left, ours        none
  left, residue     none
  left, others      none`,
	},
	{
		name: "held by others",
		report: Report{
			Mode: ModeAbort, Address: "127.0.0.1:8080", Steps: steps(1e5, 2e5, 3e5, 4e5),
			Left: Left{
				Source: sockdiag.FromNetlink, Unowned: sockdiag.Counts{sockdiag.Listen: 1, sockdiag.Established: 7}, ListenerHeld: true,
				Holders: []Holder{{7, "cat", []int{3}}, {8, "", []int{9}}, {9, "a\x1bb", []int{3, 4, 5, 6, 7, 8, 1009}}}, Hidden: 1,
			},
		},
		want: `teardown of 127.0.0.1:8080 by abort:
  NOT complete, somebody holds sockets on the port that no server knows
  listener refused     0.10 ms
  port free            0.20 ms  of all that was ours; see below what else is on it
  verified             0.30 ms  from netlink
  done                 0.40 ms
  connections       0 aborted
  handlers running  0
  left, ours        none
  left, residue     none
  left, others      none
  left, unowned     ESTABLISHED 7, LISTEN 1, held by cat (pid 7, descriptor 3); pid 8, descriptor 9;
                    a?b (pid 9, descriptors 3, 4, 5, 6, 7 and 2 more);
                    a process that cannot be seen from here`,
	},
	{
		name:     "drained in time",
		complete: true,
		report: Report{
			Mode: ModeDrain, Address: "127.0.0.1:8080", Connections: Tally{New: 1, Idle: 9987}, Closed: 12,
			Steps: patientSteps(230*time.Microsecond, 1204560*time.Microsecond, 1204610*time.Microsecond, 1206e6, 1254320*time.Microsecond),
			Left:  Left{Source: sockdiag.FromNetlink, Residue: sockdiag.Counts{sockdiag.TimeWait: 2}},
		},
		want: `teardown of 127.0.0.1:8080 by drain: nothing of ours is left
  listener refused     0.23 ms
  drained           1204.56 ms
  port free         1204.61 ms  of all that was ours; see below what else is on it
  verified          1206.00 ms  from netlink
  done              1254.32 ms
  connections       12 closed in order
                    9,988 aborted with nothing in flight: 1 new, 9,987 idle
  handlers running  0
  left, ours        none
  left, residue     TIME_WAIT 2
  left, others      none`,
	},
	{
		name:     "drained at the deadline",
		complete: true,
		report: Report{
			Mode: ModeDrain, Address: "127.0.0.1:8080", Connections: Tally{Idle: 9990, Handling: 2, Closing: 3, Hijacked: 1}, Closed: 12,
			AtDeadline: Tally{Handling: 2, Hijacked: 1}, AbortedOutside: 1, Refused: 1, HandlersRunning: 2,
			Steps: patientSteps(230*time.Microsecond, 30e9, 30001500*time.Microsecond, 30003e6, 30010e6),
			Left:  Left{Source: sockdiag.FromNetlink},
		},
		want: `teardown of 127.0.0.1:8080 by drain: nothing is left, the port is free
  listener refused     0.23 ms
  drained           30000.00 ms
  port free         30001.50 ms
  verified          30003.00 ms  from netlink
  done              30010.00 ms
  connections       12 closed in order
                    9,993 aborted with nothing in flight: 9,990 idle, 3 closing
                    3 cut at the deadline: 2 handling, 1 hijacked
                    1 from outside, as their loop was stuck
                    1 by close, as the kernel refused to reset them in place
  handlers running  2
  left, ours        none
  left, residue     none
  left, others      none`,
	},
	{
		name:     "drained where nobody was connected",
		complete: true,
		report: Report{
			Mode: ModeDrain, Address: "[::1]:8080",
			Steps: patientSteps(1e5, 2e5, 3e5, 4e5, 5e5), Left: Left{Source: sockdiag.FromNetlink},
		},
		want: `teardown of [::1]:8080 by drain: nothing is left, the port is free
  listener refused     0.10 ms
  drained              0.20 ms
  port free            0.30 ms
  verified             0.40 ms  from netlink
  done                 0.50 ms
  connections       0 closed in order
                    0 aborted with nothing in flight
  handlers running  0
  left, ours        none
  left, residue     none
  left, others      none`,
	},
	{
		name: "drained, not complete",
		report: Report{
			Mode: ModeDrain, Address: "127.0.0.1:8080", Connections: Tally{Idle: 3}, Closed: 2,
			Steps: patientSteps(1e5, 2e5, 3e5, 4e5, 5e5),
			Left:  Left{Source: sockdiag.FromNetlink, Outlived: sockdiag.Counts{sockdiag.CloseWait: 1}},
		},
		want: `teardown of 127.0.0.1:8080 by drain: NOT complete, connections of ours are left
  listener refused     0.10 ms
  drained              0.20 ms
  port free            0.30 ms  but the kernel still lists connections of ours
  verified             0.40 ms  from netlink
  done                 0.50 ms
  connections       2 closed in order
                    3 aborted with nothing in flight: 3 idle
  handlers running  0
  left, ours        CLOSE_WAIT 1
  left, residue     none
  left, others      none`,
	},
	{
		name: "called to drain",
		report: Report{
			Mode: ModeDrain, Address: "127.0.0.1:8080", Connections: Tally{Idle: 9990, Handling: 10},
		},
		want: `draining 127.0.0.1:8080: the port does not refuse yet
  listener refused           -
  drained                    -
  connections       10,000 alive: 9,990 idle, 10 handling`,
	},
	{
		name: "draining",
		report: Report{
			Mode: ModeDrain, Address: "127.0.0.1:8080", Connections: Tally{Handling: 7, Sending: 2, Hijacked: 1}, Closed: 1200,
			Steps: Steps{Refused: 230 * time.Microsecond},
		},
		want: `draining 127.0.0.1:8080: the port refuses, what is in flight is being finished
  listener refused     0.23 ms
  drained                    -
  connections       10 alive: 7 handling, 2 sending, 1 hijacked
                    1,200 closed in order`,
	},
	{
		name: "called to release",
		report: Report{
			Mode: ModeRelease, Address: "127.0.0.1:8080", Connections: Tally{Idle: 12},
		},
		want: `releasing 127.0.0.1:8080: the port does not refuse yet
  listener refused           -
  drained                    -
  connections       12 alive: 12 idle`,
	},
	{
		name: "released, still serving",
		report: Report{
			Mode: ModeRelease, Address: "[2001:db8:85a3:1234:5678:8a2e:370:7334%enp0s31f6]:65535",
			Connections: Tally{Idle: 9, Receiving: 1, Hijacked: 2}, Steps: Steps{Refused: 230 * time.Microsecond},
		},
		want: `released [2001:db8:85a3:1234:5678:8a2e:370:7334%enp0s31f6]:65535:
  the port refuses, its connections live on
  listener refused     0.23 ms
  drained                    -
  connections       12 alive: 9 idle, 1 receiving, 2 hijacked`,
	},
	{
		name:     "released, with a successor",
		complete: true,
		report: Report{
			Mode: ModeRelease, Address: "127.0.0.1:8080", Closed: 12,
			Steps: patientSteps(230*time.Microsecond, 61e9, 61000100*time.Microsecond, 61001e6, 61002e6),
			Left: Left{Source: sockdiag.FromNetlink, Residue: sockdiag.Counts{sockdiag.TimeWait: 1},
				Others: sockdiag.Counts{sockdiag.Listen: 1, sockdiag.Established: 9000}},
		},
		want: `teardown of 127.0.0.1:8080 by release: nothing of ours is left
  listener refused     0.23 ms
  drained           61000.00 ms
  port free         61000.10 ms  of all that was ours; see below what else is on it
  verified          61001.00 ms  from netlink
  done              61002.00 ms
  connections       12 closed in order
                    0 aborted
  handlers running  0
  left, ours        none
  left, residue     TIME_WAIT 1
  left, others      ESTABLISHED 9000, LISTEN 1`,
	},
	{
		name:     "released, then closed",
		complete: true,
		report: Report{
			Mode: ModeRelease, Address: "127.0.0.1:8080", Connections: Tally{Idle: 3, Hijacked: 2}, Closed: 7,
			Steps: patientSteps(230*time.Microsecond, 10e9, 10001e6, 10002e6, 10003e6),
			Left:  Left{Source: sockdiag.FromNetlink},
		},
		want: `teardown of 127.0.0.1:8080 by release: nothing is left, the port is free
  listener refused     0.23 ms
  drained           10000.00 ms
  port free         10001.00 ms
  verified          10002.00 ms  from netlink
  done              10003.00 ms
  connections       7 closed in order
                    5 aborted: 3 idle, 2 hijacked
  handlers running  0
  left, ours        none
  left, residue     none
  left, others      none`,
	},
	{
		name: "a drain as wide as it gets",
		report: Report{
			Mode: ModeDrain, Address: "[2001:db8:85a3:1234:5678:8a2e:370:7334%enp0s31f6]:65535",
			Connections: Tally{New: 1234567, Idle: 1234567, Receiving: 2234567, Handling: 1234568, Sending: 1234567, Closing: 1234567,
				Hijacked: 1234567},
			AtDeadline: Tally{Receiving: 1000000, Handling: 1234568, Sending: 1234567, Closing: 1234560, Hijacked: 1234567},
			Closed:     1234567,
			Steps:      patientSteps(1e5, 100e9, 200e9, 300e9, 400e9),
			Unverified: "because",
		},
		want: `teardown of [2001:db8:85a3:1234:5678:8a2e:370:7334%enp0s31f6]:65535 by drain: not verified
  listener refused     0.10 ms
  drained           100000.00 ms
  port free         200000.00 ms
  verified          no: because
  done              400000.00 ms
  connections       1,234,567 closed in order
                    3,703,708 aborted with nothing in flight: 1,234,567 new, 1,234,567 idle,
                    1,234,567 receiving, 7 closing
                    5,938,262 cut at the deadline: 1,000,000 receiving, 1,234,568 handling,
                    1,234,567 sending, 1,234,560 closing, 1,234,567 hijacked
  handlers running  0`,
	},
	{
		name: "as wide as it gets",
		report: Report{
			Mode: ModeAbort, Address: "[2001:db8:85a3:1234:5678:8a2e:370:7334%enp0s31f6]:65535",
			Connections: Tally{New: 1234567, Idle: 1234567, Receiving: 1234567, Handling: 1234567, Sending: 1234567, Closing: 1234567,
				Hijacked: 1234567},
			Steps: steps(1e5, 200e9, 300e9, 400e9),
			Left: Left{
				Source: sockdiag.FromNetlink,
				Outlived: sockdiag.Counts{sockdiag.Established: 1234567, sockdiag.FinWait1: 1234567, sockdiag.CloseWait: 1234567,
					sockdiag.LastAck: 1234567},
				Residue: sockdiag.Counts{sockdiag.TimeWait: 1234567, sockdiag.FinWait1: 1234567, sockdiag.FinWait2: 1234567,
					sockdiag.Closing: 1234567, sockdiag.LastAck: 1234567},
				Others: sockdiag.Counts{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13},
			},
		},
		want: `teardown of [2001:db8:85a3:1234:5678:8a2e:370:7334%enp0s31f6]:65535 by abort:
  NOT complete, connections of ours are left
  listener refused     0.10 ms
  port free         200000.00 ms  but the kernel still lists connections of ours
  verified          300000.00 ms  from netlink
  done              400000.00 ms
  connections       8,641,969 aborted: 1,234,567 new, 1,234,567 idle, 1,234,567 receiving,
                    1,234,567 handling, 1,234,567 sending, 1,234,567 closing, 1,234,567 hijacked
  handlers running  0
  left, ours        ESTABLISHED 1234567, FIN_WAIT1 1234567, CLOSE_WAIT 1234567, LAST_ACK 1234567
  left, residue     FIN_WAIT1 1234567, FIN_WAIT2 1234567, TIME_WAIT 1234567, LAST_ACK 1234567,
                    CLOSING 1234567
  left, others      NEW_SYN_RECV 13, CLOSING 12, LISTEN 11, LAST_ACK 10, CLOSE_WAIT 9, CLOSE 8,
                    TIME_WAIT 7, FIN_WAIT2 6, FIN_WAIT1 5, SYN_RECV 4, SYN_SENT 3, ESTABLISHED 2,
                    UNKNOWN 1`,
	},
}

func steps(refused, portFree, verified, done time.Duration) Steps {
	return Steps{Refused: refused, PortFree: portFree, Verified: verified, Done: done}
}

func patientSteps(refused, drained, portFree, verified, done time.Duration) Steps {
	return Steps{Refused: refused, Drained: drained, PortFree: portFree, Verified: verified, Done: done}
}

func TestReportString(t *testing.T) {
	for _, tt := range reports {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.report.String()
			if got != tt.want {
				t.Errorf("String() =\n%s\nwant\n%s", got, tt.want)
			}
			for line := range strings.Lines(got) {
				if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 100 {
					t.Errorf("%d columns, want at most 100: %s", n, line)
				}
			}
		})
	}
}

func TestBreakLine(t *testing.T) {
	tests := []struct {
		in, line, rest string
		more           bool
	}{
		{in: "", line: ""},
		{in: "0123456789", line: "0123456789"},
		{in: "0123 56789 b", line: "0123 56789", rest: "b", more: true},
		{in: "0123 567890", line: "0123", rest: "567890", more: true},
		{in: "012, 56789 b", line: "012,", rest: "56789 b", more: true},
		{in: "012345678, b", line: "012345678,", rest: "b", more: true},
		{in: "0123456789, b", line: "0123456789,", rest: "b", more: true},
		{in: "01234567890", line: "01234567890"},
		{in: "01234567890 b", line: "01234567890", rest: "b", more: true},
	}
	for _, tt := range tests {
		if line, rest, more := breakLine(tt.in, 10); line != tt.line || rest != tt.rest || more != tt.more {
			t.Errorf("breakLine(%q, 10) = %q, %q, %v, want %q, %q, %v", tt.in, line, rest, more, tt.line, tt.rest, tt.more)
		}
	}
}

func TestReportComplete(t *testing.T) {
	for _, tt := range reports {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.report.Complete(); got != tt.complete {
				t.Errorf("Complete() = %v, want %v", got, tt.complete)
			}
		})
	}
}

func TestReportJSON(t *testing.T) {
	started := time.Date(2026, 3, 14, 15, 9, 26, 535897932, time.UTC)
	tests := []struct {
		name   string
		report Report
		want   string
	}{
		{name: "zero value", want: `{
  "mode": "",
  "address": "",
  "started_at": "0001-01-01T00:00:00Z",
  "steps": {
    "listener_refused_ms": 0,
    "drained_ms": 0,
    "port_free_ms": 0,
    "verified_ms": 0,
    "done_ms": 0
  },
  "connections": {},
  "aborted_from_outside": 0,
  "refused_in_place": 0,
  "reset_in_queue": 0,
  "handlers_running": 0,
  "left": {
    "source": "",
    "outlived": {},
    "residue": {},
    "others": {},
    "unowned": {}
  }
}`},
		{name: "everything", report: Report{
			Mode: ModeAbort, Address: "127.0.0.1:8080", Started: started,
			Steps:       steps(123456, 57345678, 58*time.Millisecond, 1999999),
			Connections: Tally{New: 1, Idle: 2, Receiving: 3, Handling: 4, Sending: 5, Closing: 6, Hijacked: 14}, AbortedOutside: 7,
			Refused:         8,
			Queued:          10,
			HandlersRunning: 9, Unverified: "because",
			Left: Left{Source: sockdiag.FromProc, Outlived: sockdiag.Counts{sockdiag.Established: 10},
				Residue: sockdiag.Counts{sockdiag.TimeWait: 11, sockdiag.FinWait2: 12}, Others: sockdiag.Counts{sockdiag.Listen: 13}},
		}, want: `{
  "mode": "abort",
  "address": "127.0.0.1:8080",
  "started_at": "2026-03-14T15:09:26.535897932Z",
  "steps": {
    "listener_refused_ms": 0.123,
    "port_free_ms": 57.346,
    "verified_ms": 58,
    "done_ms": 2
  },
  "connections": {
    "new": 1,
    "idle": 2,
    "receiving": 3,
    "handling": 4,
    "sending": 5,
    "closing": 6,
    "hijacked": 14
  },
  "aborted_from_outside": 7,
  "refused_in_place": 8,
  "reset_in_queue": 10,
  "handlers_running": 9,
  "left": {
    "source": "proc",
    "outlived": {
      "established": 10
    },
    "residue": {
      "fin_wait2": 12,
      "time_wait": 11
    },
    "others": {
      "listen": 13
    },
    "unowned": {}
  },
  "unverified": "because"
}`},
		{name: "swept", report: Report{Swept: &Swept{Destroyed: 1, Refused: 2, Reason: "because"}}, want: `{
  "mode": "",
  "address": "",
  "started_at": "0001-01-01T00:00:00Z",
  "steps": {
    "listener_refused_ms": 0,
    "drained_ms": 0,
    "port_free_ms": 0,
    "verified_ms": 0,
    "done_ms": 0
  },
  "connections": {},
  "aborted_from_outside": 0,
  "refused_in_place": 0,
  "reset_in_queue": 0,
  "handlers_running": 0,
  "swept": {
    "destroyed": 1,
    "refused": 2,
    "reason": "because"
  },
  "left": {
    "source": "",
    "outlived": {},
    "residue": {},
    "others": {},
    "unowned": {}
  }
}`},
		{name: "drain", report: Report{
			Mode: ModeDrain, Address: "127.0.0.1:8080", Started: started,
			Steps:       patientSteps(123456, 5*time.Second, 5010*time.Millisecond, 5011*time.Millisecond, 5020*time.Millisecond),
			Connections: Tally{Idle: 9990, Handling: 2, Hijacked: 1}, Closed: 12, AtDeadline: Tally{Handling: 2, Hijacked: 1},
			Left: Left{Source: sockdiag.FromNetlink},
		}, want: `{
  "mode": "drain",
  "address": "127.0.0.1:8080",
  "started_at": "2026-03-14T15:09:26.535897932Z",
  "steps": {
    "listener_refused_ms": 0.123,
    "drained_ms": 5000,
    "port_free_ms": 5010,
    "verified_ms": 5011,
    "done_ms": 5020
  },
  "connections": {
    "idle": 9990,
    "handling": 2,
    "hijacked": 1
  },
  "aborted_from_outside": 0,
  "refused_in_place": 0,
  "reset_in_queue": 0,
  "handlers_running": 0,
  "left": {
    "source": "netlink",
    "outlived": {},
    "residue": {},
    "others": {},
    "unowned": {}
  },
  "closed_in_order": 12,
  "cut_at_deadline": {
    "handling": 2,
    "hijacked": 1
  },
  "cut_by_abort": {}
}`},
		{name: "release at work", report: Report{
			Mode: ModeRelease, Address: "127.0.0.1:8080", Started: started, Steps: Steps{Refused: 123456}, Connections: Tally{Idle: 2},
		}, want: `{
  "mode": "release",
  "address": "127.0.0.1:8080",
  "started_at": "2026-03-14T15:09:26.535897932Z",
  "steps": {
    "listener_refused_ms": 0.123,
    "drained_ms": 0,
    "port_free_ms": 0,
    "verified_ms": 0,
    "done_ms": 0
  },
  "connections": {
    "idle": 2
  },
  "aborted_from_outside": 0,
  "refused_in_place": 0,
  "reset_in_queue": 0,
  "handlers_running": 0,
  "left": {
    "source": "",
    "outlived": {},
    "residue": {},
    "others": {},
    "unowned": {}
  },
  "closed_in_order": 0,
  "cut_at_deadline": {},
  "cut_by_abort": {}
}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := json.MarshalIndent(tt.report, "", "  ")
			if string(got) != tt.want || err != nil {
				t.Errorf("JSON = %s, %v, want %s", got, err, tt.want)
			}
		})
	}
}

func TestTally(t *testing.T) {
	tests := []struct {
		tally Tally
		json  string
		total int
	}{
		{Tally{}, `{}`, 0},
		{Tally{New: 1}, `{"new":1}`, 1},
		{Tally{Closing: 20}, `{"closing":20}`, 20},
		{Tally{Hijacked: 5}, `{"hijacked":5}`, 5},
		{Tally{Idle: 10000, Sending: 3}, `{"idle":10000,"sending":3}`, 10003},
	}
	var sum Tally
	for _, tt := range tests {
		if got, err := json.Marshal(tt.tally); string(got) != tt.json || err != nil {
			t.Errorf("JSON of %v = %s, %v, want %s", tt.tally, got, err, tt.json)
		}
		if got := tt.tally.Total(); got != tt.total {
			t.Errorf("%v.Total() = %d, want %d", tt.tally, got, tt.total)
		}
		sum.Add(tt.tally)
	}
	if want := (Tally{New: 1, Closing: 20, Hijacked: 5, Idle: 10000, Sending: 3}); sum != want {
		t.Errorf("Add = %v, want %v", sum, want)
	}
}

func TestActivityString(t *testing.T) {
	tests := map[Activity]string{
		New: "new", Idle: "idle", Receiving: "receiving", Handling: "handling", Sending: "sending", Closing: "closing",
		Hijacked: "hijacked", Open: "open", Handshake: "handshake", HTTP2: "HTTP/2", Upgraded: "upgraded", 11: "activity 11", 255: "activity 255",
	}
	for a, want := range tests {
		if got := a.String(); got != want {
			t.Errorf("Activity(%d).String() = %q, want %q", uint8(a), got, want)
		}
	}
}

// TestReportFits: no line is wider than the terminal, and what cut a drain short is named.
func TestReportFits(t *testing.T) {
	rep := Report{Mode: ModeDrain, Address: "127.0.0.1:8080", Connections: Tally{Idle: 100000, Handling: 20000, Hijacked: 10000}, Closed: 12,
		ByAbort: Tally{Handling: 20000, Hijacked: 10000}, Steps: Steps{Refused: 1, Drained: 1, PortFree: 1, Verified: 1, Done: 1},
		Left: Left{Unowned: sockdiag.Counts{sockdiag.Established: 3}, Source: sockdiag.FromNetlink}}
	for columns := 60; columns <= 200; columns++ {
		got := rep.Text(columns)
		for line := range strings.Lines(got) {
			if n := utf8.RuneCountInString(line) - 1; n > columns {
				t.Errorf("in %d columns: line of %d: %s", columns, n, line)
			}
		}
		if words := strings.Join(strings.Fields(got), " "); !strings.Contains(words, "30,000 cut by an abort: 20,000 handling, 10,000 hijacked") || strings.Contains(words, "at the deadline") {
			t.Fatalf("the report does not say what cut the drain:\n%s", got)
		}
	}
}
