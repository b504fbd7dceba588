// Package admin is how a [poller.Server] is seen and steered over HTTP, as handlers that a program mounts where it likes:
//
//	health := admin.Health(func() *poller.Server { return srv })             // /livez and /readyz, which change and name nothing
//	control := admin.New(admin.Options{Server: func() *poller.Server { return srv }, Logger: log})
//
// Serve them on a listener of their own, not on the Server's port, and with net/http, so that they answer when the Server is full. What New
// returns lists clients and ends connections: it is for a unix socket of mode 0600, as ListenUnix makes one, whose clients are named in the
// audit line of each action (SO_PEERCRED, unix(7)), or behind Guard, which asks for a token and refuses what another site has a browser
// send.
//
//	GET  /                   a page that shows all of it
//	GET  /status             a Snapshot
//	GET  /events             Snapshots as an event stream, one a second
//	GET  /connections        those that the query picks (poller.ParseSelector), as JSON; with top=peer the number for each client
//	POST /connections/abort  resets those that the query picks; all=true without a condition
//	POST /connections/close  brings them to their end in order
//	GET  /limits             what can be changed while the server runs
//	POST /limits             changes max_conns, max_buffered (bytes) and log_level
//	POST /drain, /release, /abort, /handover    where Options.Order is set: answers with a line of JSON for each step, and the report, or an error, last
//
// A GET changes nothing. What a POST has to say can be in its query, or in its content as in a form. Errors are {"error": "..."} with a status of 4xx or 5xx.
//
// Any goroutine may call the functions, and any number of them the handlers. These wait for the event loops, so they are not for one.
package admin
