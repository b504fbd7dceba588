package sse

import (
	"errors"
	"fmt"
	"io"
	"net/http"

	"rstserver/poller"
	"rstserver/poller/internal/onloop"
)

var (
	// ErrHead is returned for a HEAD request, which has been answered with the head of a stream, and has none.
	ErrHead = errors.New("sse: the request is HEAD, and gets no stream")
	// errRest says that a request has more than maxRest.
	errRest = fmt.Errorf("sse: the request has more than %d KiB of content that the handler has not read", maxRest>>10)
	// errNotPoller says that the request has come by another server.
	errNotPoller = errors.New("sse: the request is not served by a poller.Server, whose event loops hold the streams of this package")
)

// maxRest bounds what is read of a request's content that the handler has left.
const maxRest = 256 << 10

// Accept answers r, whose handler is on a worker, with an event stream. The connection goes back to its event loop: the handler has to return, and
// nothing of the request is kept. What is done with the stream is said by options, nil being the zero value; they must not be changed from then
// on. Fields that are set in w's header are sent with the answer; of Cache-Control and X-Accel-Buffering they take the place of those of this
// package. Any method will do, so that POST can be answered with a stream; of content that the handler has not read up to
// 256 KiB are thrown away, and more is answered with 413.
//
// An error is [ErrHead]; or that the request is not one of a poller.Server, or what is wrong with the options, after an answer of 500; or that there is
// too much content; or that something around the handler compresses the answer, or the connection is no more.
//
// [Group.Accept] has the stream in a group before its client knows of it.
func Accept(w http.ResponseWriter, r *http.Request, options *Options) (*Stream, error) {
	return accept(w, r, options, nil)
}

func accept(w http.ResponseWriter, r *http.Request, options *Options, joins func(*Stream)) (*Stream, error) {
	if options == nil {
		options = &defaults
	}
	offer := onloop.From(r.Context())
	err := options.check()
	if err == nil && offer == nil {
		err = errNotPoller
	}
	if err != nil {
		http.Error(w, "500 internal server error", http.StatusInternalServerError)
		return nil, err
	}
	switch n, err := io.CopyN(io.Discard, r.Body, maxRest+1); {
	case n > maxRest:
		http.Error(w, "413 content too large", http.StatusRequestEntityTooLarge)
		return nil, errRest
	case err != io.EOF:
		return nil, fmt.Errorf("sse: reading the rest of the request: %w", err)
	}
	header := w.Header()
	for name, value := range fields {
		if _, set := header[name]; !set {
			header.Set(name, value)
		}
	}
	header.Set("Content-Type", contentType)
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusOK)
		return nil, ErrHead
	}
	if r.ProtoMajor == 1 {
		header.Set("Connection", "close") // it ends with the stream
	}
	// By way of what stands around w, which may count answers, or have more fields.
	w.WriteHeader(http.StatusOK)
	s := &Stream{options: options, joins: joins}
	if err := offer.Take(http.StatusOK, header, (*protocol)(s)); err != nil {
		onloop.Leave((*member)(s))
		return nil, fmt.Errorf("sse: taking the connection: %w", err)
	}
	return s, nil
}

const contentType = "text/event-stream"

// fields are those of an answer, beside its type.
var fields = map[string]string{
	"Cache-Control":     "no-cache, no-transform", // RFC 9111, sections 5.2.2.4 and 5.2.2.6: compressors leave it alone
	"X-Accel-Buffering": "no",                     // nginx
}

// AcceptOnLoop is [Accept] for a [poller.LoopHandler], with the same errors. The stream begins when the handler has returned.
func AcceptOnLoop(w *poller.Responder, r *poller.Request, options *Options) (*Stream, error) {
	return acceptOnLoop(w, r, options, nil)
}

func acceptOnLoop(w *poller.Responder, r *poller.Request, options *Options, joins func(*Stream)) (*Stream, error) {
	if options == nil {
		options = &defaults
	}
	offer := onloop.FromResponder(w)
	err := options.check()
	if err == nil && offer == nil {
		err = errNotPoller
	}
	if err != nil {
		w.Error(http.StatusInternalServerError, "internal server error")
		return nil, err
	}
	w.SetContentType(contentType)
	for name, value := range fields {
		if !w.HasField(name) {
			w.AddField(name, value)
		}
	}
	if string(r.Method) == http.MethodHead {
		return nil, ErrHead
	}
	s := &Stream{options: options, joins: joins}
	s.onLoop.Store(true)
	if err := offer.Take(http.StatusOK, nil, (*protocol)(s)); err != nil {
		onloop.Leave((*member)(s))
		return nil, fmt.Errorf("sse: taking the connection: %w", err)
	}
	return s, nil
}
