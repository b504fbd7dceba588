package httpcodec

import "math"

// addContentLength reads 1*DIGIT (RFC 9110 8.6), and nothing else: neither a sign nor a list, not even of equal numbers.
func (s *section) addContentLength(value []byte, req *Request) *Error {
	if s.seen&lengthSeen != 0 {
		s.seen |= lengthTwice
	}
	s.seen |= lengthSeen
	if len(value) == 0 || !all(value, isDigit) {
		return errLength
	}
	var n int64
	for _, c := range value {
		d := int64(c - '0')
		if n > (math.MaxInt64-d)/10 {
			return ErrBodyTooLarge
		}
		n = n*10 + d
	}
	req.ContentLength = n
	return nil
}

// addTransferEncoding reads a list of transfer codings (RFC 9112 6.1). Lines of that name count as one list.
func (s *section) addTransferEncoding(value []byte) {
	s.seen |= encodingSeen
	for more := true; more; {
		var coding []byte
		coding, value = nextElement(value)
		more = value != nil
		n := 0
		for n < len(coding) && class[coding[n]]&isTchar != 0 {
			n++
		}
		// An empty element is legal in a list, but parsers differ on them, and no client sends one here.
		if n == 0 || n < len(coding) && coding[n] != ';' && coding[n] != ' ' && coding[n] != '\t' {
			s.seen |= encodingBad
			return
		}
		// RFC 9112 6.1: chunked is applied once, and last.
		if s.seen&chunkedLast != 0 {
			s.seen |= chunkedNotLast
		}
		switch {
		case !equalFold(coding[:n], "chunked"):
			s.seen |= otherCoding
			s.seen &^= chunkedLast
		case n < len(coding):
			s.seen |= encodingBad // RFC 9112 7.1: chunked has no parameters
		default:
			s.seen |= chunkedLast
		}
	}
}

// frame decides where the content ends (RFC 9112 6.3).
func (s *section) frame(req *Request) *Error {
	if s.seen&lengthSeen == 0 {
		req.ContentLength = -1
	}
	req.Chunked = false
	switch {
	case s.seen&(encodingSeen|lengthTwice) == 0:
		return nil
	case s.seen&encodingSeen == 0:
		return errLengthTwice
	case s.seen&lengthSeen != 0:
		return errEncodingAndSized // RFC 9112 6.1: a server may reject it, as an attempt at smuggling
	case req.MinorVersion == 0:
		return errEncodingVersion // RFC 9112 6.1: the framing is faulty
	case s.seen&encodingBad != 0:
		return errEncoding
	case s.seen&chunkedLast == 0, s.seen&chunkedNotLast != 0:
		return errEncodingLast // RFC 9112 6.3: the length cannot be determined
	case s.seen&otherCoding != 0:
		return ErrTransferCoding
	}
	req.Chunked = true
	return nil
}
