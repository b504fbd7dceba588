package main

import (
	"io"
	"net/http"
	"strings"
)

// upgrade sends back whatever the client sends once it has upgraded its connection to the protocol echo (RFC 9110, section
// 7.8), until that ends.
func upgrade(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Connection", "Upgrade")
	w.Header().Set("Upgrade", "echo")
	if r.Method != http.MethodGet || !r.ProtoAtLeast(1, 1) || r.ProtoMajor > 1 ||
		!lists(r.Header["Connection"], "Upgrade") || !lists(r.Header["Upgrade"], "echo") {
		refuse(w, http.StatusUpgradeRequired, "this is for GET with Upgrade: echo and Connection: Upgrade, by HTTP/1.1")
		return
	}
	// The other protocol begins behind the content.
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		cut()
	}
	// This way the server knows of the answer, and has it logged.
	out := http.NewResponseController(w)
	w.WriteHeader(http.StatusSwitchingProtocols)
	if err := out.Flush(); err != nil {
		cut()
	}
	conn, buffered, err := out.Hijack()
	if err != nil {
		cut()
	}
	defer conn.Close()
	// Errors of the connection are its end.
	// Without the methods by which it would be spliced: that holds a pipe, which is two descriptors, while it waits for bytes.
	_, _ = io.Copy(struct{ io.Writer }{conn}, struct{ io.Reader }{buffered})
}

// lists reports whether a field with those lines lists a token (RFC 9110, section 5.6.1).
func lists(lines []string, token string) bool {
	for element := range strings.SplitSeq(strings.Join(lines, ","), ",") {
		if strings.EqualFold(strings.Trim(element, " \t"), token) {
			return true
		}
	}
	return false
}
