//go:build linux

package interop

import (
	"net/http"
)

// framingBehaviours are about the content of an answer: its length, its type, its trailers, and when it goes out.
var framingBehaviours = []behaviour{
	{name: "Content-Length right", request: get1, handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
		w.Header().Set("Content-Length", "5")
		write(w, tr, "hello")
	}},
	{name: "Content-Length too small", request: get1,
		handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
			w.Header().Set("Content-Length", "5")
			write(w, tr, "hello, world")
			write(w, tr, "hello")
			write(w, tr, "!")
		}, differences: []difference{{whyReset, "end: FIN", "end: RST"}}},
	{name: "Content-Length too large", request: get1,
		handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
			w.Header().Set("Content-Length", "50")
			write(w, tr, "hello")
			flush(w, tr)
		}, differences: []difference{{whyReset, "end: FIN", "end: RST"}}},
	{name: "Content-Length of nothing written", request: get1,
		handler: func(w http.ResponseWriter, _ *http.Request, _ *transcript) {
			w.Header().Set("Content-Length", "50")
		}, differences: []difference{{whyReset, "end: FIN", "end: RST"}}},
	{name: "Content-Length zero", request: get1, handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
		w.Header().Set("Content-Length", "0")
		write(w, tr, "x")
	}, differences: []difference{{
		"the answer is whole, so the connection can go on", "end: FIN", sentinelAnswer + "end: FIN",
	}}},
	{name: "Content-Length is none", request: get1, handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
		w.Header().Set("Content-Length", "five")
		write(w, tr, "hello")
	}, differences: []difference{
		{whyLength, "field: Transfer-Encoding: chunked\n", ""},
		{whyLength, "field: Content-Type", "field: Content-Length: 5\nfield: Content-Type"},
		{whyLength, "chunks: \"hello\"", "content: \"hello\""},
	}},
	{name: "Content-Length negative", request: get1,
		handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
			w.Header().Set("Content-Length", "-5")
			write(w, tr, "hello")
		}, differences: []difference{
			{whyLength, "field: Transfer-Encoding: chunked\n", ""},
			{whyLength, "field: Content-Type", "field: Content-Length: 5\nfield: Content-Type"},
			{whyLength, "chunks: \"hello\"", "content: \"hello\""},
		}},
	{name: "Content-Length with a small name", request: get1,
		handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
			w.Header()["content-length"] = []string{"5"}
			write(w, tr, "hello")
		}, differences: []difference{{"net/http sends it twice", "field: content-length: 5\n", ""}}},
	{name: "Transfer-Encoding set", request: get1, handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
		w.Header().Set("Transfer-Encoding", "chunked")
		write(w, tr, "hello")
	}, differences: []difference{
		{whyLength, "field: Date: NOW\nfield: Transfer-Encoding: chunked\nchunks: \"hello\"", helloAnswer},
	}},
	{name: "Transfer-Encoding identity", request: get1,
		handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
			w.Header().Set("Transfer-Encoding", "identity")
			write(w, tr, "hello")
		}, differences: []difference{
			{whyLength, "field: Connection: close\nfield: Date: NOW\ncontent to the end: \"hello\"\n", helloAnswer + "\n" + sentinelAnswer},
		}},

	{name: "content type of HTML", request: get1, handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
		write(w, tr, "  <!DOCTYPE html>")
		write(w, tr, "<p>")
	}},
	{name: "content type in small pieces", request: get1,
		handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
			for _, s := range []string{"<", "h", "t", "m", "l", ">"} {
				write(w, tr, s)
			}
		}},
	{name: "content type of a flushed piece", request: get1,
		handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
			write(w, tr, "<ht")
			flush(w, tr)
			write(w, tr, "ml>")
		}},
	{name: "content type of big content", request: get1,
		handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
			write(w, tr, "\x89PNG\x0D\x0A\x1A\x0A"+string(big))
		}},
	{name: "content type suppressed", request: get1,
		handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
			w.Header()["Content-Type"] = nil
			write(w, tr, "<html>")
		}},
	{name: "content type empty", request: get1, handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
		w.Header().Set("Content-Type", "")
		write(w, tr, "<html>")
	}},
	{name: "content type of encoded content", request: get1,
		handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
			w.Header().Set("Content-Encoding", "gzip")
			write(w, tr, "<html>")
		}},
	{name: "content type to HEAD", request: head1, method: "HEAD",
		handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
			write(w, tr, "<html>")
		}},

	{name: "205", request: get1,
		handler: func(w http.ResponseWriter, _ *http.Request, _ *transcript) { w.WriteHeader(205) }},
	{name: "205 with content", request: get1, handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
		w.WriteHeader(205)
		write(w, tr, "x")
	}, differences: []difference{
		{whyNone205, "Content-Length: 1", "Content-Length: 0"},
		{whyNone205, "content: \"x\"", "content: \"\""},
	}},
	{name: "HEAD", request: head1, method: "HEAD", handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
		w.Header().Set("Content-Length", "5")
		write(w, tr, "hello")
	}},
	{name: "HEAD with big content", request: head1, method: "HEAD",
		handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
			write(w, tr, string(big))
		}},
	{name: "HEAD flushed", request: head1, method: "HEAD",
		handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
			write(w, tr, "hello")
			flush(w, tr)
			write(w, tr, "again")
		}},

	{name: "trailers announced", request: get1, handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
		w.Header().Set("Trailer", "X-Sum, x-other")
		w.Header().Add("Trailer", "X-Unset")
		write(w, tr, "hello")
		w.Header().Set("X-Sum", "7")
		w.Header().Set("X-Other", "8")
		w.Header().Set("X-Unannounced", "9")
	}},
	{name: "trailers announced and set before", request: get1,
		handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
			w.Header().Set("Trailer", "X-Sum")
			w.Header().Set("X-Sum", "0")
			write(w, tr, "hello")
			w.Header().Set("X-Sum", "7")
		}},
	{name: "trailers with TrailerPrefix", request: get1,
		handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
			write(w, tr, "hello")
			flush(w, tr)
			w.Header().Set(http.TrailerPrefix+"X-Sum", "7")
			w.Header().Add(http.TrailerPrefix+"X-Sum", "8")
		}},
	{name: "trailers with TrailerPrefix before WriteHeader", request: get1,
		handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
			w.Header().Set(http.TrailerPrefix+"X-Sum", "7")
			write(w, tr, "hello")
		}},
	{name: "trailers with TrailerPrefix after a short answer", request: get1,
		handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
			write(w, tr, "hello")
			w.Header().Set(http.TrailerPrefix+"X-Sum", "7")
		}, differences: []difference{
			{whyTrailer, "field: Content-Length: 5\n", ""},
			{whyTrailer, "content: \"hello\"", "field: Transfer-Encoding: chunked\nchunks: \"hello\"\ntrailer: X-Sum: 7"},
		}},
	{name: "trailers beside Content-Length", request: get1,
		handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
			w.Header().Set("Trailer", "X-Sum")
			w.Header().Set("Content-Length", "5")
			write(w, tr, "hello")
			w.Header().Set("X-Sum", "7")
		}},
	{name: "trailers that are none", request: get1, handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
		w.Header().Set("Trailer", "Content-Length, Trailer, Transfer-Encoding, X Y")
		write(w, tr, "hello")
		w.Header().Set("Content-Length", "5")
		w.Header().Set("Transfer-Encoding", "chunked")
	}},
	{name: "trailers to HTTP/1.0", request: get0, handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
		w.Header().Set("Trailer", "X-Sum")
		write(w, tr, "hello")
		w.Header().Set("X-Sum", "7")
	}, differences: []difference{saysClose("field: Content-Type")}},
	{name: "trailers to HEAD", request: head1, method: "HEAD",
		handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
			w.Header().Set("Trailer", "X-Sum")
			w.Header().Set("X-Sum", "7")
		}},

	{name: "Flush at once", request: get1, handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
		flush(w, tr)
		write(w, tr, "hello")
	}},
	{name: "Flush and nothing else", request: get1, handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
		flush(w, tr)
	}},
	{name: "Flush between", request: get1, handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
		write(w, tr, "hello")
		flush(w, tr)
		flush(w, tr)
		write(w, tr, "again")
	}},
	{name: "Flush with Content-Length", request: get1,
		handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
			w.Header().Set("Content-Length", "5")
			flush(w, tr)
			write(w, tr, "hello")
		}},
	{name: "Flush reaches the client before the handler returns", request: get1, waitFor: "first", then: "",
		handler: func(w http.ResponseWriter, r *http.Request, tr *transcript) {
			write(w, tr, "first")
			flush(w, tr)
			write(w, tr, "second")
		}},

	{name: "big in one write", request: get1, handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
		write(w, tr, string(big))
	}},
	{name: "big in small writes", request: get1, handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
		for i := 0; i < len(big); i += 1000 {
			_, _ = w.Write(big[i:min(i+1000, len(big))])
		}
		write(w, tr, "end")
	}},
	{name: "big with Content-Length", request: get1,
		handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
			w.Header().Set("Content-Length", "655360")
			write(w, tr, string(big))
		}},
	{name: "empty writes", request: get1, handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
		write(w, tr, "")
		w.WriteHeader(500)
		write(w, tr, "")
	}},
}
