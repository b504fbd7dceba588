package httpcodec_test

import (
	"bytes"
	"reflect"
	"testing"

	"rstserver/httpcodec"
)

// A head that has moved is the same, whatever becomes of the buffer that it was parsed from.
func TestMove(t *testing.T) {
	for _, head := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"\r\nGET /a/b?c=d HTTP/1.1\r\nHost: x:80\r\nEmpty:\r\nLast: \t value \t\r\n\r\n",
		"GET / HTTP/1.0\r\n\r\n",
		"GET /? HTTP/1.1\r\nHost:\r\n\r\n",
		"GET http://example.org HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET http://example.org:8080/p?q HTTP/1.1\r\nHost: x\r\n\r\n",
		"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
		"OPTIONS http://example.org HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /chat HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: a, b\r\n\r\n",
	} {
		parse := func(data []byte) (r httpcodec.Request) {
			if n, err := new(httpcodec.Parser).Parse(data, httpcodec.Limits{}, &r); n != len(data) || err != nil {
				t.Fatalf("%q: Parse = %d, %v", data, n, err)
			}
			return r
		}
		for _, behind := range []string{"", "GET / HTTP/1.1\r\n"} { // as of the next request
			from := append([]byte(head), behind...)
			r := parse(from[:len(head)])
			to := bytes.Clone(from[:len(head)])
			r.Move(from[:len(head)], to)
			for i := range from {
				from[i] = 'X'
			}
			if want := parse([]byte(head)); !reflect.DeepEqual(r, want) {
				t.Errorf("%q:\ngot  %+v\nwant %+v", head, r, want)
			}
			_ = append(r.Method, "appended"...)
			if string(to) != head {
				t.Errorf("an append to a view has written into the head: %q", to)
			}
		}
	}
}
