package httpcodec

import "bytes"

var asterisk = []byte("*")

// parseTarget reads the request-target (RFC 9112 3.2).
func parseTarget(target []byte, req *Request, s *section) *Error {
	req.RequestTarget = target
	req.Query, req.HasQuery, req.Host = nil, false, nil
	if target[0] == '/' && string(req.Method) != "CONNECT" {
		req.Form = OriginForm
		return parsePath(target, req, s.lax)
	}
	switch {
	case string(req.Method) == "CONNECT":
		req.Form = AuthorityForm
		req.Path = nil
		s.seen |= targetHasHost
		return parseAuthorityForm(target, req)
	case string(target) == "*":
		if string(req.Method) != "OPTIONS" {
			return errTargetForm
		}
		req.Form = AsteriskForm
		req.Path = target
		return nil
	default:
		req.Form = AbsoluteForm
		s.seen |= targetHasHost
		return parseAbsoluteForm(target, req, s.lax)
	}
}

// parsePath reads absolute-path [ "?" query ] (RFC 9112 3.2.1, RFC 3986 3.3 and 3.4). lax is a class that is allowed too.
func parsePath(b []byte, req *Request, lax uint8) *Error {
	i := 0
	for i < len(b) {
		c := b[i]
		if class[c]&(isPath|lax) != 0 {
			i++
			continue
		}
		if c == '?' {
			req.Path = b[:i:i]
			return parseQuery(b[i+1:], req, lax)
		}
		if !isPctEncoded(b[i:]) {
			return errTarget
		}
		i += 3
	}
	req.Path = b
	return nil
}

func parseQuery(b []byte, req *Request, lax uint8) *Error {
	req.Query, req.HasQuery = b, true
	for i := 0; i < len(b); i++ {
		if class[b[i]]&(isQuery|lax) == 0 {
			if !isPctEncoded(b[i:]) {
				return errTarget
			}
			i += 2
		}
	}
	return nil
}

// parseAuthorityForm reads uri-host ":" port (RFC 9112 3.2.3). An empty port or zero is no port to connect to
// (RFC 9110 9.3.6).
func parseAuthorityForm(b []byte, req *Request) *Error {
	host, port, ok := splitHostPort(b)
	if !ok || host == 0 || port == 0 {
		return errTargetHost
	}
	req.Host = b
	return nil
}

// parseAbsoluteForm reads an absolute-URI of the schemes http and https (RFC 9112 3.2.2, RFC 9110 4.2).
func parseAbsoluteForm(b []byte, req *Request, lax uint8) *Error {
	colon := bytes.IndexByte(b, ':')
	if colon < 0 {
		return errTarget
	}
	if scheme := b[:colon]; !equalFold(scheme, "http") && !equalFold(scheme, "https") {
		return errTargetScheme
	}
	start := colon + len("://")
	if len(b) < start || b[colon+1] != '/' || b[colon+2] != '/' {
		return errTarget
	}
	end := start
	for end < len(b) && b[end] != '/' && b[end] != '?' && b[end] != '#' {
		end++
	}
	authority := b[start:end:end]
	// RFC 9110 4.2.4: userinfo from an untrusted source is to be treated as an error.
	if bytes.IndexByte(authority, '@') >= 0 {
		return errTargetUserinfo
	}
	if host, _, ok := splitHostPort(authority); !ok || host == 0 {
		return errTargetHost
	}
	req.Host = authority
	if end < len(b) && b[end] == '/' {
		return parsePath(b[end:], req, lax)
	}
	if end == len(b) && string(req.Method) == "OPTIONS" {
		// RFC 9112 3.2.4: the last proxy makes "*" of it, so it means the server as a whole.
		req.Path = asterisk[:1:1]
		return nil
	}
	// RFC 9110 4.2.3: an empty path is the same as "/"; the second "/" of "://" is one at hand.
	if end == len(b) {
		req.Path = b[start-1 : start : start]
		return nil
	}
	if err := parsePath(b[end:], req, lax); err != nil {
		return err
	}
	req.Path = b[start-1 : start : start]
	return nil
}
