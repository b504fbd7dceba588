package main

import (
	"io"
	"net/http"
	"strings"
	"time"
)

// upgraded is what a client gets that asks for the protocol echo (RFC 9110, section 7.8).
const upgraded = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"

// upgrade sends back whatever the client sends once it has upgraded its connection, until that ends.
func upgrade(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet || !r.ProtoAtLeast(1, 1) ||
		!lists(r.Header["Connection"], "Upgrade") || !lists(r.Header["Upgrade"], "echo") {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "echo")
		refuse(w, http.StatusUpgradeRequired, "this is for GET with Upgrade: echo and Connection: Upgrade")
		return
	}
	// The other protocol begins behind the content.
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		cut()
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		refuse(w, http.StatusInternalServerError, "the connection cannot be taken over")
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Time{})
	// Errors of the connection are its end.
	if _, err := io.WriteString(conn, upgraded); err != nil {
		return
	}
	// Without the methods by which it would be spliced: that holds a pipe, which is two descriptors, while it waits for bytes.
	_, _ = io.Copy(struct{ io.Writer }{conn}, struct{ io.Reader }{buffered})
}

// lists tells whether a field with those lines lists a token (RFC 9110, section 5.6.1).
func lists(lines []string, token string) bool {
	for element := range strings.SplitSeq(strings.Join(lines, ","), ",") {
		if strings.EqualFold(strings.Trim(element, " \t"), token) {
			return true
		}
	}
	return false
}
