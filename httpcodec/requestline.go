package httpcodec

import "bytes"

// parseRequestLine reads method SP request-target SP HTTP-version (RFC 9112 3). The version is looked at before the
// target, so that what another major version puts there is not called malformed.
func parseRequestLine(line []byte, req *Request, s *section) *Error {
	i := 0
	for i < len(line) && class[line[i]]&isTchar != 0 {
		i++
	}
	if i == len(line) {
		return errRequestLine
	}
	if i == 0 || line[i] != ' ' {
		return errMethod
	}
	if i > MaxMethodBytes {
		return ErrMethodTooLong
	}
	req.Method = line[:i:i]
	rest := line[i+1:]
	n := len(rest) - len(" HTTP/1.1")
	if n < 1 || rest[n] != ' ' || string(rest[n+1:n+8]) != "HTTP/1." || class[rest[n+8]]&isDigit == 0 {
		return versionError(rest)
	}
	req.MinorVersion = 1
	if rest[n+8] == '0' {
		req.MinorVersion = 0
	}
	return parseTarget(rest[:n:n], req, s)
}

// versionError tells a version that is not 1.x from a request line that is not one (RFC 9112 2.3).
func versionError(rest []byte) *Error {
	sp := bytes.LastIndexByte(rest, ' ')
	if sp < 1 {
		return errRequestLine
	}
	v := rest[sp+1:]
	if len(v) == len("HTTP/1.1") && string(v[:5]) == "HTTP/" && v[6] == '.' && class[v[5]]&class[v[7]]&isDigit != 0 {
		return ErrVersion
	}
	return errVersionSyntax
}

// requestLineTooLong tells what part of a request line is too long, given what of it fits in the limit.
func requestLineTooLong(line []byte) *Error {
	i := 0
	for i < len(line) && class[line[i]]&isTchar != 0 {
		i++
	}
	switch {
	case i > MaxMethodBytes:
		return ErrMethodTooLong
	case i == len(line):
		return ErrHeaderTooLarge // a limit so small that not even a method fits
	case line[i] != ' ':
		return errMethod
	case bytes.IndexByte(line[i+1:], ' ') < 0:
		return ErrRequestTargetTooLong
	}
	return ErrHeaderTooLarge
}
