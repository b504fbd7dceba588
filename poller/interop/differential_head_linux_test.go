//go:build linux

package interop

import (
	"net/http"
	"strings"
)

// headBehaviours are about the head of an answer: its status code, its fields, and what becomes of the connection.
var headBehaviours = []behaviour{
	{name: "nothing", request: get1, handler: func(http.ResponseWriter, *http.Request, *transcript) {}},
	{name: "nothing to HEAD", request: head1, method: "HEAD",
		handler: func(http.ResponseWriter, *http.Request, *transcript) {}},
	{name: "implicit WriteHeader", request: get1},
	{name: "explicit WriteHeader", request: get1, handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
		w.WriteHeader(418)
		write(w, tr, "short and stout")
	}},
	{name: "fields set after WriteHeader", request: get1,
		handler: func(w http.ResponseWriter, _ *http.Request, _ *transcript) {
			w.Header().Set("X-Before", "1")
			w.WriteHeader(200)
			w.Header().Set("X-After", "1")
			w.Header().Del("X-Before")
		}},
	{name: "many fields of one name", request: get1, handler: func(w http.ResponseWriter, _ *http.Request, _ *transcript) {
		for _, c := range []string{"a=1", "b=2", "c=3"} {
			w.Header().Add("Set-Cookie", c)
		}
		w.Header()["x-lower"] = []string{"1", ""}
		w.Header()["X-None"] = nil
	}},
	{name: "superfluous WriteHeader", request: get1,
		handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
			w.WriteHeader(404)
			w.WriteHeader(200)
			write(w, tr, "x")
			w.WriteHeader(500)
		}},
	{name: "WriteHeader(0)", request: get1, handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
		defer func() { tr.notef("panicked: %v", recover() != nil) }()
		w.WriteHeader(0)
	}},
	{name: "WriteHeader(999)", request: get1, handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
		w.WriteHeader(999)
		write(w, tr, "x")
	}, refused: &refusal{whyStatus, "500 Internal Server Error", "internal server error", "write 1 of 1: no error\n"}},
	{name: "WriteHeader(600) without content", request: get1,
		handler: func(w http.ResponseWriter, _ *http.Request, _ *transcript) {
			w.WriteHeader(600)
		}, refused: &refusal{whyStatus, "500 Internal Server Error", "internal server error", ""}},

	{name: "204", request: get1, handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(204)
		write(w, tr, "x")
		flush(w, tr)
	}},
	{name: "204 with Content-Length", request: get1, handler: func(w http.ResponseWriter, _ *http.Request, _ *transcript) {
		w.Header().Set("Content-Length", "5")
		w.WriteHeader(204)
	}},
	{name: "304", request: get1, handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
		w.Header().Set("Etag", `"1"`)
		w.WriteHeader(304)
		write(w, tr, "x")
	}},
	{name: "304 with fields of a content", request: get1,
		handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
			w.Header().Set("Content-Type", "text/plain")
			w.Header().Set("Content-Length", "5")
			w.WriteHeader(304)
		}, differences: []difference{{
			"a handler that describes the content means it (RFC 9110, section 15.4.5)", "field: Date",
			"field: Content-Length: 5\nfield: Content-Type: text/plain\nfield: Date",
		}}},
	{name: "Early Hints", request: get1, handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
		w.Header().Add("Link", "</style.css>; rel=preload; as=style")
		w.WriteHeader(103)
		w.Header().Add("Link", "</script.js>; rel=preload; as=script")
		w.WriteHeader(103)
		w.WriteHeader(102)
		w.Header().Del("Link")
		w.WriteHeader(201)
		write(w, tr, "made")
	}},
	{name: "Early Hints with fields of a content", request: get1,
		handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
			w.Header().Set("Content-Length", "5")
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(103)
			write(w, tr, "hello")
		}},
	{name: "Early Hints to HTTP/1.0", request: get0,
		handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
			w.Header().Add("Link", "</style.css>; rel=preload; as=style")
			w.WriteHeader(103)
			write(w, tr, "x")
		}, differences: []difference{
			{"HTTP/1.0 knows no interim answers (RFC 9110, section 15.2)",
				"answer: HTTP/1.0 103 Early Hints\nfield: Link: </style.css>; rel=preload; as=style\n", ""},
			saysClose("field: Content-Length"),
		}},
	{name: "WriteHeader(101)", request: get1, handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "tea")
		w.WriteHeader(101)
		write(w, tr, "x")
	}, differences: []difference{{
		"the connection has changed its protocol, although nobody speaks it", "behind 101: \"the sentinel's answer\"", "behind 101: \"\"",
	}}},

	{name: "invalid field names", request: get1, handler: func(w http.ResponseWriter, _ *http.Request, _ *transcript) {
		w.Header()["X Y"] = []string{"1"}
		w.Header()["X:Y"] = []string{"1"}
		w.Header()[""] = []string{"1"}
		w.Header()["Ünï"] = []string{"1"}
		w.Header()["X\r\nSet-Cookie"] = []string{"1"}
	}},
	{name: "invalid field values", request: get1, handler: func(w http.ResponseWriter, _ *http.Request, _ *transcript) {
		w.Header().Set("X-Injection", "a\r\nSet-Cookie: b\n\nc")
		w.Header().Set("X-Space", "  a\t b ")
		w.Header().Set("X-Text", "Grüße")
	}},
	{name: "control characters in field values", request: get1,
		handler: func(w http.ResponseWriter, _ *http.Request, _ *transcript) {
			w.Header().Set("X-Control", "a\x00b\x01c\x7fd")
		}, differences: []difference{{"no control character can get into a field", "a\\x00b\\x01c\\x7fd", "a b c d"}}},
	{name: "Connection: close", request: get1, handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
		w.Header().Set("Connection", "close")
		write(w, tr, "x")
	}},
	{name: "Connection: keep-alive", request: get1, handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
		w.Header().Set("Connection", "keep-alive")
		write(w, tr, "x")
	}, differences: []difference{{"it is the default in HTTP/1.1", "field: Connection: keep-alive\n", ""}}},
	{name: "Connection: keep-alive where the client closes", request: "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
			w.Header().Set("Connection", "keep-alive")
			write(w, tr, "x")
		}},
	{name: "Connection: other", request: get1, handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
		w.Header().Set("Connection", "X-Hop")
		w.Header().Set("X-Hop", "1")
		write(w, tr, "x")
	}},
	{name: "Date suppressed", request: get1, handler: func(w http.ResponseWriter, _ *http.Request, _ *transcript) {
		w.Header()["Date"] = nil
	}},
	{name: "Date overridden", request: get1, handler: func(w http.ResponseWriter, _ *http.Request, _ *transcript) {
		w.Header().Set("Date", "yesterday")
	}},

	{name: "HTTP/1.0", request: get0, differences: []difference{saysClose("field: Content-Length")}},
	{name: "HTTP/1.0 keep-alive", request: keep0},
	{name: "HTTP/1.0 keep-alive without length", request: keep0,
		handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
			write(w, tr, "hello")
			flush(w, tr)
		}, differences: []difference{saysClose("field: Content-Type")}},
	{name: "HTTP/1.0 keep-alive with length", request: keep0,
		handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
			w.Header().Set("Content-Length", "5")
			write(w, tr, "hello")
		}},
	{name: "HTTP/1.0 keep-alive to HEAD", request: strings.Replace(keep0, "GET", "HEAD", 1), method: "HEAD"},
	{name: "HTTP/1.0 keep-alive, 304", request: keep0,
		handler: func(w http.ResponseWriter, _ *http.Request, _ *transcript) {
			w.WriteHeader(304)
		}},
	{name: "HTTP/1.0 keep-alive, handler closes", request: keep0,
		handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
			w.Header().Set("Connection", "close")
			write(w, tr, "x")
		}},
	{name: "HTTP/1.0 big", request: get0, handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
		write(w, tr, string(big))
	}, differences: []difference{saysClose("field: Content-Type")}},
}
