//go:build linux

package sockdiag

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const sequence = 7

// message builds one netlink message.
func message(kind, flags uint16, seq uint32, body []byte) []byte {
	ne := binary.NativeEndian
	b := ne.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
	b = ne.AppendUint16(b, kind)
	b = ne.AppendUint16(b, flags|unix.NLM_F_MULTI)
	b = ne.AppendUint32(b, seq)
	b = ne.AppendUint32(b, 4242)
	b = append(b, body...)
	for len(b)%unix.NLMSG_ALIGNTO != 0 {
		b = append(b, 0)
	}
	return b
}

// socketBody builds an inet_diag_msg of an IPv4 socket.
func socketBody(port uint16, state State) []byte {
	b := make([]byte, sizeofMessage+8) // with an attribute behind it, as the kernel sends it
	b[offsetFamily], b[offsetState] = unix.AF_INET, byte(state)
	binary.BigEndian.PutUint16(b[offsetLocalPort:], port)
	return b
}

func socketMessage(port uint16, state State) []byte {
	return message(tcpdiagGetsock, 0, sequence, socketBody(port, state))
}

func end(errno unix.Errno) []byte {
	return message(unix.NLMSG_DONE, 0, sequence, binary.NativeEndian.AppendUint32(nil, uint32(-int32(errno))))
}

// An answer is what a fake dump delivers: datagrams, and then an error.
type answer struct {
	datagrams [][]byte
	err       error
}

// dumps answers one dump after the other. There must be no more than answers.
func dumps(t *testing.T, answers ...answer) func([]byte, func([]byte, uint32) (bool, error)) error {
	return func(_ []byte, f func([]byte, uint32) (bool, error)) error {
		if len(answers) == 0 {
			t.Error("a dump more than expected")
			return unix.EPERM
		}
		a := answers[0]
		answers = answers[1:]
		for _, d := range a.datagrams {
			if last, err := f(d, sequence); last || err != nil {
				return err
			}
		}
		if a.err == nil {
			t.Error("the dump was read past its end")
		}
		return a.err
	}
}

// files opens what is in the map; a nil reader is a file that fails.
func files(contents map[string]string, err error) func(string) (io.ReadCloser, error) {
	return func(name string) (io.ReadCloser, error) {
		text, ok := contents[name]
		if !ok {
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		}
		return io.NopCloser(strings.NewReader(text)), nil
	}
}

const (
	heading = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	line4   = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 28938 1 0000000000000000 100 0 0 10 0\n"
	line6   = "   0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 28939 1 0000000000000000 100 0 0 10 0\n"
	other4  = "   1: 0100007F:0050 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 28940 1 0000000000000000 100 0 0 10 0\n"
	port    = 0x1F90
)

func TestFallback(t *testing.T) {
	tcp, tcp6 := procFiles[0], procFiles[1]
	both := map[string]string{tcp: heading + line4 + other4, tcp6: heading + line6}
	whole := answer{datagrams: [][]byte{socketMessage(port, Established), socketMessage(port, TimeWait), end(0)}}
	halfway := func(err error) answer {
		return answer{datagrams: [][]byte{socketMessage(port, Established)}, err: err}
	}
	interrupted := answer{datagrams: [][]byte{socketMessage(port, Established),
		message(tcpdiagGetsock, unix.NLM_F_DUMP_INTR, sequence, socketBody(port, TimeWait)), end(0)}}
	interruptedAtEnd := answer{datagrams: [][]byte{socketMessage(port, Established),
		message(unix.NLMSG_DONE, unix.NLM_F_DUMP_INTR, sequence, make([]byte, 4))}}
	fromNetlink, fromProc := Counts{Established: 1, TimeWait: 1}, Counts{Listen: 2}

	tests := []struct {
		name    string
		answers []answer
		files   map[string]string
		fileErr error
		want    Counts
		source  Source
		errs    []error // all of them in the error
		// each is what Each does where it differs: the error, since it cannot start again.
		each error
	}{
		{name: "netlink", answers: []answer{whole}, want: fromNetlink, source: FromNetlink},
		{name: "no sockets", answers: []answer{{datagrams: [][]byte{end(0)}}}, source: FromNetlink},
		{name: "netlink refused", answers: []answer{{err: unix.EPERM}}, files: both, want: fromProc, source: FromProc},
		{name: "no inet_diag", answers: []answer{{datagrams: [][]byte{end(unix.ENOENT)}}}, files: both,
			want: fromProc, source: FromProc},
		{name: "error message", answers: []answer{{datagrams: [][]byte{message(unix.NLMSG_ERROR, 0, sequence,
			binary.NativeEndian.AppendUint32(nil, ^uint32(unix.EOPNOTSUPP)+1))}}}, files: both,
			want: fromProc, source: FromProc},
		{name: "no IPv6", answers: []answer{{err: unix.EPERM}}, files: map[string]string{tcp: both[tcp]},
			fileErr: unix.ENOENT, want: Counts{Listen: 1}, source: FromProc},
		{name: "IPv6 unreadable", answers: []answer{{err: unix.EPERM}}, files: map[string]string{tcp: both[tcp]},
			fileErr: unix.EACCES, errs: []error{unix.EPERM, unix.EACCES}},
		{name: "half-way", answers: []answer{halfway(unix.ENOMEM)}, files: both, want: fromProc, source: FromProc,
			each: unix.ENOMEM},
		{name: "interrupted once", answers: []answer{interrupted, whole}, want: fromNetlink, source: FromNetlink,
			each: ErrInterrupted},
		{name: "interrupted at its end", answers: []answer{interruptedAtEnd, whole}, want: fromNetlink,
			source: FromNetlink, each: ErrInterrupted},
		{name: "interrupted always", answers: []answer{interrupted, interrupted, interrupted}, files: both,
			want: fromProc, source: FromProc, each: ErrInterrupted},
		{name: "both refused", answers: []answer{{err: unix.EPROTONOSUPPORT}}, fileErr: unix.EACCES,
			errs: []error{unix.EPROTONOSUPPORT, unix.EACCES}},
		{name: "both refused, no /proc", answers: []answer{{err: unix.EAFNOSUPPORT}}, fileErr: unix.ENOENT,
			errs: []error{unix.EAFNOSUPPORT, fs.ErrNotExist}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sys := func() system { return system{dump: dumps(t, tt.answers...), open: files(tt.files, tt.fileErr)} }
			check := func(call string, got Counts, source Source, err error, errs []error) {
				t.Helper()
				if len(errs) == 0 {
					if got != tt.want || source != tt.source || err != nil {
						t.Errorf("%s = %v, %q, %v, want %v, %q", call, got, source, err, tt.want, tt.source)
					}
					return
				}
				for _, want := range errs {
					if !errors.Is(err, want) {
						t.Errorf("%s: error %v, want one that is %v", call, err, want)
					}
				}
			}
			d, err := sys().port(port)
			check("Port", d.Count(), d.Source, err, tt.errs)
			c, source, err := sys().count(port)
			check("Count", c, source, err, tt.errs)
			errs := tt.errs
			if tt.each != nil {
				errs = []error{tt.each}
			}
			c = Counts{}
			source, err = sys().each(ports{port}, func(s *Socket) bool { c.add(uint8(s.State)); return true })
			check("Each", c, source, err, errs)
		})
	}
}

func TestErrorSaysWhatWasTried(t *testing.T) {
	sys := system{dump: dumps(t, answer{err: unix.EPROTONOSUPPORT}), open: files(nil, unix.EACCES)}
	_, err := sys.port(port)
	want := "sockdiag: sockets of port 8080: netlink: protocol not supported; open /proc/thread-self/net/tcp: permission denied"
	if err == nil || err.Error() != want {
		t.Errorf("Port = %v, want %s", err, want)
	}
}

func TestParse(t *testing.T) {
	sock := func(kind uint16, seq uint32, body []byte) []byte { return message(kind, 0, seq, body) }
	tests := []struct {
		name     string
		datagram []byte
		sockets  int
		last     bool
		err      error
	}{
		{name: "empty"},
		{name: "two sockets", datagram: join(socketMessage(port, Listen), socketMessage(port, TimeWait)), sockets: 2},
		{name: "sockets and the end", datagram: join(socketMessage(port, Listen), end(0)), sockets: 1, last: true},
		{name: "nothing behind the end", datagram: join(end(0), socketMessage(port, Listen)), last: true},
		{name: "failed", datagram: join(socketMessage(port, Listen), end(unix.ENOENT)), sockets: 1, err: unix.ENOENT},
		{name: "another port", datagram: socketMessage(port+1, Listen)},
		{name: "another question", datagram: sock(tcpdiagGetsock, sequence+1, socketBody(port, Listen))},
		{name: "another question's end", datagram: sock(unix.NLMSG_DONE, sequence+1, make([]byte, 4))},
		{name: "another kind", datagram: sock(99, sequence, socketBody(port, Listen))},
		{name: "no-op", datagram: join(sock(unix.NLMSG_NOOP, sequence, nil), socketMessage(port, Listen)), sockets: 1},
		{name: "header cut off", datagram: socketMessage(port, Listen)[:unix.SizeofNlMsghdr-1], err: errTruncated},
		{name: "body cut off", datagram: socketMessage(port, Listen)[:unix.SizeofNlMsghdr+10], err: errTruncated},
		{name: "body too short", datagram: sock(tcpdiagGetsock, sequence, make([]byte, sizeofMessage-4)), err: errTruncated},
		{name: "end too short", datagram: sock(unix.NLMSG_DONE, sequence, nil), err: errTruncated},
		{name: "length of nothing", datagram: make([]byte, 64), err: errTruncated},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sockets := 0
			last, err := parse(tt.datagram, sequence, ports{port}, func([]byte) bool { sockets++; return true })
			if sockets != tt.sockets || last != tt.last || !errors.Is(err, tt.err) {
				t.Errorf("parse = %d sockets, %v, %v, want %d, %v, %v", sockets, last, err, tt.sockets, tt.last, tt.err)
			}
		})
	}
}

func join(messages ...[]byte) (b []byte) {
	for _, m := range messages {
		b = append(b, m...)
	}
	return b
}

func TestParseLineRejects(t *testing.T) {
	replace := func(from, to string) string { return strings.Replace(line4, from, to, 1) }
	tests := []struct{ name, line string }{
		{"empty", "\n"},
		{"no port", replace(":1F90", "")},
		{"port beyond 16 bits", replace(":1F90", ":11F90")},
		{"short address", replace("0100007F", "00007F")},
		{"no hexadecimal address", replace("0100007F", "0100007G")},
		{"remote missing", "0: 0100007F:1F90\n"},
		{"state beyond 8 bits", replace(" 0A ", " 10A ")},
		{"no queues", replace("00000000:00000000 00:", "00000000 00:")},
		{"inode missing", line4[:strings.Index(line4, "28938")] + "\n"},
		{"signed user", replace("1000", "-100")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s Socket
			if match, err := parseLine([]byte(tt.line), ports{port}, &s); match || err == nil || s != (Socket{}) {
				t.Errorf("parseLine(%q) = %v, %v, %+v, want an error", tt.line, match, err, s)
			}
		})
	}
}

// FuzzParse: nothing that comes over the wire makes parse or decode panic, and whatever they report is of the port.
func FuzzParse(f *testing.F) {
	f.Add(join(socketMessage(port, Listen), end(0)))
	f.Add(join(socketMessage(port+1, Established), end(unix.ENOENT)))
	f.Add(message(unix.NLMSG_ERROR, unix.NLM_F_DUMP_INTR, sequence, make([]byte, 20)))
	f.Add(socketMessage(port, Listen)[:40])
	f.Fuzz(func(t *testing.T, datagram []byte) {
		n := 0
		last, err := parse(datagram, sequence, ports{port}, func(b []byte) bool {
			n++
			if s := decode(b); s.Local.Port() != port || !s.Local.Addr().IsValid() || s.Local.Addr().Is4In6() {
				t.Errorf("decode = %+v", s)
			}
			return true
		})
		if last && err != nil {
			t.Errorf("parse = %v, %v", last, err)
		}
		if n > len(datagram)/(unix.SizeofNlMsghdr+sizeofMessage) {
			t.Errorf("parse found %d sockets in %d bytes", n, len(datagram))
		}
	})
}

// FuzzParseLine: no line makes parseLine panic, and one that it takes has the port.
func FuzzParseLine(f *testing.F) {
	for _, l := range []string{line4, line6, other4, heading, "0: :1F90"} {
		f.Add([]byte(l))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		var s Socket
		match, err := parseLine(line, ports{port}, &s)
		if match && err != nil {
			t.Errorf("parseLine = %v, %v", match, err)
		}
		if match && (s.Local.Port() != port || !s.Remote.Addr().IsValid()) {
			t.Errorf("parseLine = %+v", s)
		}
		if !match && s != (Socket{}) {
			t.Errorf("parseLine left %+v", s)
		}
	})
}

// The kernel prints a socket again when others come and go while it is read.
func TestProcRepeats(t *testing.T) {
	const heading = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	const listen = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 28938 1\n"
	const another = "   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 28939 1\n"
	const conn = "   2: 0100007F:1F90 0100007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 28940 1\n"
	sys := system{dump: procOnly.dump, open: func(name string) (io.ReadCloser, error) {
		if name != procFiles[0] {
			return nil, fs.ErrNotExist
		}
		return io.NopCloser(strings.NewReader(heading + listen + conn + another + conn + listen + conn)), nil
	}}
	got, source, err := sys.count(8080)
	if want := (Counts{Listen: 2, Established: 1}); got != want || source != FromProc || err != nil {
		t.Errorf("Count = %v from %s, %v, want %v", got, source, err, want)
	}
}
