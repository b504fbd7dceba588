// Package handover restarts a server that nobody notices: it starts a successor, which may be of a new program file, hands it the
// listening sockets, and has the server before it come to its end when the successor is ready. It is for any Go server: net/http, gRPC,
// [rstserver/poller], whatever serves a [rstserver/linger.Listener].
//
//	h, err := handover.New(handover.Options{Signals: []os.Signal{syscall.SIGUSR2}})
//	...
//	err = h.Run(ctx, "tcp", ":8080", func(l *linger.Listener) handover.Server {
//		srv := &http.Server{Handler: h.Handler(mux)}
//		go srv.Serve(l)
//		return srv
//	})
//
// Run is all that most programs need. Its parts are [Handover.Listen], [Handover.Ready], [Handover.HandOver], [Handover.Exit] and
// [Handover.Lost], for those that have more to do.
//
// # What happens
//
//	predecessor                                successor
//	HandOver ── starts it, with the sockets ──▶ New, Listen
//	accepts                                     whatever it has to do before it can serve
//	         ◀──────────── ready ────────────── Ready
//	Exit ─────────────────── go ──────────────▶ accepts
//	lame duck, spread, the rest (linger)
//	ends                                        HandOver, when it is its turn
//
// The listening sockets are the same in both, and open all of the time, so no client is refused or reset in its queue. The successor
// accepts nobody before the predecessor has agreed, so one that fails before that has cost nothing: HandOver returns why, and the
// predecessor goes on as if nothing had been. If the successor dies later, before the predecessor has ended, [Handover.Lost] says so, and the
// predecessor serves again. If the predecessor dies, the successor serves as soon as it is ready.
//
// The last answer of each connection says so, and its client comes back to the successor: [Handover.Handler] adds "Connection: close" for
// net/http, which with HTTP/2 sends GOAWAY, and poller does so by itself. Event streams and WebSockets are told by [rstserver/linger.Turn].
//
// # The successor
//
// It is started by the path that this program was started by, in the directory that it was started in, whatever [os.Chdir] has done
// since; so it is the file that is there now. Its arguments, environment, standard input, output and error are those of this process. Of
// descriptors it gets these three, the sockets, and a socket to its predecessor, and no other. It begins as this program's old file, for
// some milliseconds, which closes all else, says in LISTEN_PID and WATCHDOG_PID who it is (only then it is known), and executes the new
// one. /proc is needed for that. Until it is ready its parent is another process of the old file, which says how it ends if it fails; then that
// is killed, so that the successor is a child of the init, or of systemd, which supervises none but its own.
//
// A process that is the first of its PID namespace, as the one of a container is, cannot be succeeded, as all others end with it:
// [ErrFirstProcess].
//
// # systemd
//
// Sockets that systemd passes (LISTEN_FDS, sd_listen_fds(3)) are inherited like those of a predecessor. Where NOTIFY_SOCKET is set, as
// for Type=notify, Ready sends READY=1, HandOver RELOADING=1 before and MAINPID of the successor with READY=1 behind it, or READY=1 again if it
// fails. From then on the unit is the successor's, and nothing more is sent by the predecessor: STOPPING=1 would stop the unit. Units are in
// cmd/rstserver/deploy.
//
// # Others
//
// cloudflare/tableflip has this package's purpose. What is different here: the successor tells why it fails; it accepts nobody before its
// predecessor has agreed, and that one keeps the sockets to its end; there can be a next successor while the first predecessor drains; what is
// not meant for the successor does not leak to it; and a relative path works after Chdir. From coreos/go-systemd come the parts that speak to
// systemd.
package handover
