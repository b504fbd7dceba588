package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
)

// MinToken is the least length of a token, in bytes.
const MinToken = 16

// ReadToken reads a token for Guard from a file: its first line. An error says that it is too short, that others can
// read the file, or that nobody can.
func ReadToken(name string) (string, error) {
	fi, err := os.Stat(name)
	if err != nil {
		return "", err
	}
	if mode := fi.Mode().Perm(); mode&0o077 != 0 {
		return "", fmt.Errorf("%s has mode %04o, so that others can read the token: chmod 600 %[1]s", name, mode)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	if line = strings.TrimSpace(line); len(line) < MinToken {
		return "", fmt.Errorf("%s has a token of %d characters, at least %d are needed: openssl rand -hex 32 makes one", name, len(line), MinToken)
	}
	return line, nil
}

// Guard lets through to next who knows the token, in "Authorization: Bearer TOKEN"; but for GET and HEAD of /, whose page shows nothing
// without. It is for a TCP listener on a loopback address. A browser on this machine can be told by any web site to send requests there, or
// be led there under another name (DNS rebinding); so Host has to be localhost or the address of a loopback interface, and an Origin has to
// be the same.
func Guard(token string, next http.Handler) http.Handler {
	want := sha256.Sum256([]byte("Bearer " + token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLoopback(r.Host) {
			fail(w, http.StatusMisdirectedRequest, "Host is %q: it has to be localhost or a loopback address such as 127.0.0.1", r.Host)
			return
		}
		if o := r.Header.Get("Origin"); o != "" && o != "http://"+r.Host {
			fail(w, http.StatusForbidden, "Origin is %q: another site has no business here", o)
			return
		}
		if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
			fail(w, http.StatusForbidden, "Sec-Fetch-Site is %q: another site has no business here", site)
			return
		}
		page := r.URL.Path == "/" && (r.Method == http.MethodGet || r.Method == http.MethodHead)
		got := sha256.Sum256([]byte(r.Header.Get("Authorization")))
		if !page && subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			fail(w, http.StatusUnauthorized, "the token is missing or wrong: send Authorization: Bearer TOKEN")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isLoopback reports whether host, with or without a port, can be nothing but this machine.
func isLoopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return strings.EqualFold(host, "localhost") || err == nil && ip.IsLoopback()
}
