package websocket

import (
	"errors"
	"fmt"
	"net/http"
	"net/textproto"

	"rstserver/httpcodec"
	"rstserver/poller"
	"rstserver/poller/internal/onloop"
)

// errNotPoller says that the request has come by another server.
var errNotPoller = errors.New("websocket: the request is not served by a poller.Server, whose event loops hold the WebSockets of this package")

// Accept makes a WebSocket of the connection of r, whose handler is on a worker. It goes back to its event loop: the handler has to
// return, and nothing of the request is kept. What is done with messages is said by options, nil being the zero value; they must not be
// changed from then on. Fields that are set in w's header are sent with the answer.
//
// If the client's handshake is not as it has to be, it has been answered when Accept returns an error, with 400, 403, 405 or 426 (RFC 6455,
// section 4.2.2). Other errors are that the request is not one of a poller.Server, which is answered with 500, that the connection is
// no more, or what is wrong with the options.
func Accept(w http.ResponseWriter, r *http.Request, options *Options) (*Conn, error) {
	if options == nil {
		options = &defaults
	}
	if err := options.check(); err != nil {
		http.Error(w, "500 internal server error", http.StatusInternalServerError)
		return nil, err
	}
	o := &opening{
		method: r.Method, http11: r.ProtoMajor == 1 && r.ProtoMinor >= 1, hasContent: r.ContentLength != 0, host: r.Host,
		values: func(name string) []string { return r.Header[name] },
	}
	fields, refused := o.accept(options)
	if refused != nil {
		for name, values := range refused.fields {
			w.Header()[name] = values
		}
		http.Error(w, fmt.Sprintf("%d %s", refused.status, refused.text), refused.status)
		return nil, refused
	}
	offer := onloop.From(r.Context())
	if offer == nil {
		http.Error(w, "500 internal server error", http.StatusInternalServerError)
		return nil, errNotPoller
	}
	// By way of what stands around w, which may count answers, or have more fields. Not all of it has Flush.
	header := w.Header()
	for name, values := range fields {
		header[name] = values
	}
	w.WriteHeader(http.StatusSwitchingProtocols)
	_ = http.NewResponseController(w).Flush()
	c := newConn(options, o)
	if err := offer.Take(http.StatusSwitchingProtocols, header, (*protocol)(c)); err != nil {
		return nil, fmt.Errorf("websocket: taking the connection: %w", err)
	}
	return c, nil
}

// AcceptOnLoop is [Accept] for a [poller.LoopHandler], with the same errors. The WebSocket begins when the handler has returned.
func AcceptOnLoop(w *poller.Responder, r *poller.Request, options *Options) (*Conn, error) {
	if options == nil {
		options = &defaults
	}
	if err := options.check(); err != nil {
		w.Error(http.StatusInternalServerError, "internal server error")
		return nil, err
	}
	o := &opening{
		method: string(r.Method), http11: r.MinorVersion >= 1, hasContent: r.HasBody(), host: string(r.Host),
		values: func(name string) []string { return values(r.Fields, name) },
	}
	fields, refused := o.accept(options)
	if refused != nil {
		w.Error(refused.status, refused.text)
		for name, values := range refused.fields {
			w.AddField(name, values[0])
		}
		return nil, refused
	}
	offer := onloop.FromResponder(w)
	if offer == nil {
		w.Error(http.StatusInternalServerError, "internal server error")
		return nil, errNotPoller
	}
	c := newConn(options, o)
	if err := offer.Take(http.StatusSwitchingProtocols, fields, (*protocol)(c)); err != nil {
		return nil, fmt.Errorf("websocket: taking the connection: %w", err)
	}
	return c, nil
}

// values are those of a field's lines.
func values(fields []httpcodec.Field, name string) (values []string) {
	for _, f := range fields {
		if len(f.Name) == len(name) && textproto.CanonicalMIMEHeaderKey(string(f.Name)) == name {
			values = append(values, string(f.Value))
		}
	}
	return values
}
