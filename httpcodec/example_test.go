package httpcodec_test

import (
	"fmt"
	"time"

	"rstserver/httpcodec"
)

// Requests are read from a buffer that is filled from a connection: here two, of which the second is not whole yet.
func ExampleParser_Parse() {
	buf := []byte("GET /hello?to=you HTTP/1.1\r\nHost: example.com\r\nAccept: */*\r\n\r\nGET /next HTTP/1.1\r\nHos")

	var p httpcodec.Parser
	var req httpcodec.Request
	for {
		n, err := p.Parse(buf, httpcodec.Limits{HeaderBytes: 8 << 10}, &req)
		if err != nil {
			fmt.Println("refused:", err)
			return
		}
		if n == 0 {
			fmt.Printf("to be read: %q and more\n", buf)
			return
		}
		fmt.Printf("%s %s of %s, accepts %s, keep-alive %v\n", req.Method, req.Path, req.Host, req.Get("accept"), req.KeepAlive)
		buf = buf[n:]
	}
	// Output:
	// GET /hello of example.com, accepts */*, keep-alive true
	// to be read: "GET /next HTTP/1.1\r\nHos" and more
}

// The status to answer a malformed request with comes with the error.
func ExampleError() {
	var p httpcodec.Parser
	var req httpcodec.Request
	_, err := p.Parse([]byte("GET / HTTP/1.1\r\nHost : example.com\r\n"), httpcodec.Limits{}, &req)
	if e, ok := err.(*httpcodec.Error); ok {
		fmt.Println(e.Status, e.Reason)
	}
	// Output: 400 malformed field name
}

// Content is decoded as it comes; what was consumed can be forgotten.
func ExampleBodyDecoder() {
	req := httpcodec.Request{Chunked: true, ContentLength: -1} // from Parse
	var dec httpcodec.BodyDecoder
	if err := dec.Reset(&req, 1<<20); err != nil {
		fmt.Println("refused:", err)
		return
	}
	for _, piece := range []string{"5\r\nHel", "lo\r\n8\r\n, World!\r", "\n0\r\n\r\n"} {
		for src := []byte(piece); len(src) > 0 && !dec.Done(); {
			data, n, err := dec.Next(src)
			if err != nil {
				fmt.Println("refused:", err)
				return
			}
			fmt.Printf("%q ", data)
			src = src[n:]
		}
	}
	fmt.Println(dec.Done())
	// Output: "Hel" "lo" ", World!" "" "" true
}

func ExampleResponse_AppendHead() {
	const content = "Hello, World!"
	resp := httpcodec.Response{
		Status:        200,
		MinorVersion:  1,    // the request's
		KeepAlive:     true, // the request's, unless the server wants to close
		ContentLength: int64(len(content)),
		ContentType:   "text/plain",
		Date:          httpcodec.AppendDate(nil, time.Unix(784111777, 0)),
	}
	out, framing, err := resp.AppendHead(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	if framing.Kind == httpcodec.Length {
		out = append(out, content...)
	}
	fmt.Printf("%q\n", out)
	// Output: "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 13\r\n\r\nHello, World!"
}
