package websocket

import (
	"crypto/sha1"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// opening is a client's opening handshake (RFC 6455, section 4.2.1).
type opening struct {
	method      string
	http11      bool // or later
	hasContent  bool
	host        string
	values      func(name string) []string // of a field's lines; name is canonical
	subprotocol string
	deflate     *deflate
}

// refusal is the answer to one that is not as it has to be.
type refusal struct {
	status int
	text   string
	fields http.Header
}

func (r *refusal) Error() string { return "websocket: " + r.text }

func badRequest(text string) *refusal { return &refusal{status: http.StatusBadRequest, text: text} }

// upgradeRequired says what is spoken here.
func upgradeRequired(text string) *refusal {
	return &refusal{http.StatusUpgradeRequired, text, http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-WebSocket-Version": {"13"},
	}}
}

// accept returns the fields of the answer, or why there is none.
func (o *opening) accept(options *Options) (http.Header, *refusal) {
	if o.method != http.MethodGet {
		return nil, &refusal{http.StatusMethodNotAllowed, "a WebSocket is asked for by GET, not " + o.method, http.Header{"Allow": {"GET"}}}
	}
	connection, ok := tokens(o.values("Connection"))
	if !ok {
		return nil, badRequest("malformed Connection field")
	}
	switch {
	case !o.http11:
		return nil, upgradeRequired("a WebSocket is asked for by HTTP/1.1 here")
	case !connection("upgrade"):
		return nil, upgradeRequired("the Connection field does not list Upgrade")
	case !listsProtocol(o.values("Upgrade"), "websocket"):
		return nil, upgradeRequired("the Upgrade field does not list websocket")
	case o.hasContent:
		return nil, badRequest("the request has content")
	}
	versions := o.values("Sec-Websocket-Version")
	switch {
	case len(versions) > 1:
		return nil, badRequest("several Sec-WebSocket-Version fields")
	case len(versions) == 0 || versions[0] != "13":
		return nil, upgradeRequired("the version of WebSocket spoken here is 13")
	}
	keys := o.values("Sec-Websocket-Key")
	if len(keys) != 1 || !isKey(keys[0]) {
		return nil, badRequest("Sec-WebSocket-Key has to be there once, 16 bytes in base64")
	}
	if r := o.checkOrigin(options); r != nil {
		return nil, r
	}
	if r := o.chooseSubprotocol(options.Subprotocols); r != nil {
		return nil, r
	}
	extension, r := o.chooseExtension(options.Compression)
	if r != nil {
		return nil, r
	}
	fields := http.Header{
		"Upgrade": {"websocket"}, "Connection": {"Upgrade"}, "Sec-WebSocket-Accept": {acceptKey(keys[0])},
	}
	if o.subprotocol != "" {
		fields["Sec-WebSocket-Protocol"] = []string{o.subprotocol}
	}
	if extension != "" {
		fields["Sec-WebSocket-Extensions"] = []string{extension}
	}
	return fields, nil
}

// acceptKey proves that the key was understood (section 4.2.2).
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// isKey reports whether s is 16 bytes in base64. The last character can have bits that mean nothing, as it has in an example of the RFC.
func isKey(s string) bool {
	const length = 24
	if len(s) != length || strings.ContainsAny(s, "\r\n") {
		return false
	}
	b, err := base64.StdEncoding.DecodeString(s)
	return err == nil && len(b) == 16
}

// checkOrigin refuses pages of other sites (section 10.2).
func (o *opening) checkOrigin(options *Options) *refusal {
	origins := o.values("Origin")
	if len(origins) == 0 {
		return nil
	}
	forbidden := &refusal{status: http.StatusForbidden, text: "this origin may not open a WebSocket here"}
	if len(origins) > 1 {
		return badRequest("several Origin fields")
	}
	origin := origins[0]
	if options.CheckOrigin != nil {
		if options.CheckOrigin(origin, o.host) {
			return nil
		}
		return forbidden
	}
	if slices.Contains(options.Origins, "*") {
		return nil
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || u.Scheme == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return forbidden // "null" among them, which is anybody
	}
	if strings.EqualFold(withoutDefaultPort(u.Host, u.Scheme), withoutDefaultPort(o.host, u.Scheme)) {
		return nil
	}
	for _, allowed := range options.Origins {
		if originMatches(strings.ToLower(allowed), strings.ToLower(u.Scheme), strings.ToLower(withoutDefaultPort(u.Host, u.Scheme))) {
			return nil
		}
	}
	return forbidden
}

func withoutDefaultPort(host, scheme string) string {
	switch strings.ToLower(scheme) {
	case "http", "ws":
		return strings.TrimSuffix(host, ":80")
	case "https", "wss":
		return strings.TrimSuffix(host, ":443")
	}
	return host
}

// originMatches reports whether an origin is the one that is allowed, or below it.
func originMatches(allowed, scheme, host string) bool {
	allowedScheme, allowedHost, ok := strings.Cut(allowed, "://")
	if !ok || allowedScheme != scheme {
		return false
	}
	allowedHost = withoutDefaultPort(allowedHost, scheme)
	if below, wild := strings.CutPrefix(allowedHost, "*."); wild {
		return strings.HasSuffix(host, "."+below) && len(host) > len(below)+1
	}
	return host == allowedHost
}

// chooseSubprotocol takes the first of the client's that is spoken here.
func (o *opening) chooseSubprotocol(spoken []string) *refusal {
	lines := o.values("Sec-Websocket-Protocol")
	if len(lines) == 0 {
		return nil
	}
	var offered []string
	for _, line := range lines {
		for element := range strings.SplitSeq(line, ",") {
			name := strings.Trim(element, " \t")
			if name == "" {
				continue // as in every list (RFC 9110, section 5.6.1.2)
			}
			if !isToken(name) || slices.Contains(offered, name) {
				return badRequest("malformed Sec-WebSocket-Protocol field")
			}
			offered = append(offered, name)
		}
	}
	if len(offered) == 0 {
		return badRequest("malformed Sec-WebSocket-Protocol field")
	}
	for _, name := range offered {
		if slices.Contains(spoken, name) {
			o.subprotocol = name
			return nil
		}
	}
	return nil
}

// tokens reads the lines of a field that is a list of tokens.
func tokens(lines []string) (lists func(token string) bool, ok bool) {
	for _, line := range lines {
		for element := range strings.SplitSeq(line, ",") {
			if element = strings.Trim(element, " \t"); element != "" && !isToken(element) {
				return nil, false
			}
		}
	}
	return func(token string) bool { return listsProtocol(lines, token) }, true
}

// listsProtocol reports whether a list has an element, in whatever case.
func listsProtocol(lines []string, name string) bool {
	for _, line := range lines {
		for element := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.Trim(element, " \t"), name) {
				return true
			}
		}
	}
	return false
}

// isToken reports whether s is one (RFC 9110, section 5.6.2).
func isToken(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}

func quoted(s string) string { return strconv.Quote(s) }
