package codec

import (
	"fmt"
	"strings"
)

// request is an input, and what has to be understood of it.
type request struct {
	name string
	message
	chunks []string // the content, where it is sent in chunks
}

const form = `{"name":"rstserver","tags":["http","reset"],"text":"` + loremIpsum + `"}`

const loremIpsum = "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore et dolore magna aliqua."

// requests are in the forms in which clients send them, their fields in the order of their names.
var requests = []request{
	{name: "minimal", message: message{method: "GET", target: "/", fields: []field{{"Host", "127.0.0.1:8080"}}}},
	{name: "browser", message: message{method: "GET", target: "/articles/2026/how-ports-are-freed?utm_source=feed&page=2", fields: []field{
		{"Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"},
		{"Accept-Encoding", "gzip, deflate, br, zstd"},
		{"Accept-Language", "en-US,en;q=0.5"},
		{"Cache-Control", "max-age=0"},
		{"Connection", "keep-alive"},
		{"Cookie", "session=4f1c8e0b9a7d4c0e8f5b2a6d3c1e9f70; theme=dark; consent=analytics%3Dno%26ads%3Dno; last_seen=1795514401"},
		{"Host", "www.example.org"},
		{"Priority", "u=0, i"},
		{"Referer", "https://www.example.org/articles/2026/"},
		{"Sec-Fetch-Dest", "document"},
		{"Sec-Fetch-Mode", "navigate"},
		{"Sec-Fetch-Site", "same-origin"},
		{"Sec-Fetch-User", "?1"},
		{"Upgrade-Insecure-Requests", "1"},
		{"User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"},
	}}},
	{name: "post", message: message{method: "POST", target: "/api/items", content: form, fields: []field{
		{"Accept", "application/json"},
		{"Content-Length", fmt.Sprint(len(form))},
		{"Content-Type", "application/json"},
		{"Host", "api.example.org"},
		{"User-Agent", "curl/8.14.1"},
	}}},
	{name: "chunked", chunks: []string{form[:16], form[16:100], form[100:]},
		message: message{method: "POST", target: "/api/items", content: form, fields: []field{
			{"Accept", "application/json"},
			{"Content-Type", "application/json"},
			{"Host", "api.example.org"},
			{"Transfer-Encoding", "chunked"},
			{"User-Agent", "curl/8.14.1"},
		}}},
}

// bytes is the request as it is sent.
func (r *request) bytes() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", r.method, r.target)
	for _, f := range r.fields {
		fmt.Fprintf(&b, "%s: %s\r\n", f.name, f.value)
	}
	b.WriteString("\r\n")
	if r.chunks == nil {
		b.WriteString(r.content)
		return []byte(b.String())
	}
	for _, chunk := range r.chunks {
		fmt.Fprintf(&b, "%x\r\n%s\r\n", len(chunk), chunk)
	}
	b.WriteString("0\r\n\r\n")
	return []byte(b.String())
}
