package httpcodec

// splitField reads field-name ":" OWS field-value OWS (RFC 9112 5), given a line without its CRLF. The value can hold
// no CR, so a bare one is found here.
func splitField(line []byte) (name, value []byte, err *Error) {
	i := 0
	for i < len(line) && class[line[i]]&isTchar != 0 {
		i++
	}
	if i == len(line) {
		return nil, nil, errFieldColon
	}
	if i == 0 || line[i] != ':' {
		if line[0] == ' ' || line[0] == '\t' {
			return nil, nil, errFieldFold // RFC 9112 5.2, or 2.2 before the first field line
		}
		return nil, nil, errFieldName // RFC 9112 5.1 on whitespace before the colon
	}
	value = trimOWS(line[i+1:])
	if !isText(value) {
		return nil, nil, errFieldValue
	}
	return line[:i:i], value[:len(value):len(value)], nil
}

// section gathers what the field lines of one head say about the message as a whole. A line is judged on its own when
// it comes, in add; what several lines say together is judged at the end, in finish, so that the outcome does not
// depend on how many lines a call of Parse saw.
type section struct {
	seen       seen
	connection connection
	lax        uint8 // what Limits.LaxTarget allows: isLax, or nothing
}

// seen notes which fields were there and what they held.
type seen uint16

const (
	targetHasHost   seen = 1 << iota // Request.Host was taken from the request-target
	hostSeen                         // a Host field
	hostTwice                        // another
	lengthSeen                       // a Content-Length field
	lengthTwice                      // another
	encodingSeen                     // a Transfer-Encoding field
	encodingBad                      // one that is malformed
	chunkedLast                      // chunked is the last transfer coding so far
	chunkedNotLast                   // a coding follows chunked
	otherCoding                      // a coding that is not chunked
	expectContinue                   // the expectation 100-continue
	expectSomething                  // any other expectation
)

// add judges one field line.
func (s *section) add(name, value []byte, req *Request) *Error {
	switch len(name) {
	case len("host"):
		if equalFold(name, "host") {
			return s.addHost(value, req)
		}
	case len("expect"):
		if equalFold(name, "expect") {
			s.addExpect(value)
		}
	case len("upgrade"):
		if len(value) > 0 && s.connection&upgradeValue == 0 && equalFold(name, "upgrade") {
			s.connection |= upgradeValue
			req.Upgrade = value
		}
	case len("connection"):
		if equalFold(name, "connection") {
			s.connection |= connectionOptions(value)
		}
	case len("content-length"):
		if equalFold(name, "content-length") {
			return s.addContentLength(value, req)
		}
	case len("transfer-encoding"):
		if equalFold(name, "transfer-encoding") {
			s.addTransferEncoding(value)
		}
	}
	return nil
}

func (s *section) addHost(value []byte, req *Request) *Error {
	if s.seen&hostSeen != 0 {
		s.seen |= hostTwice
	}
	s.seen |= hostSeen
	if _, _, ok := splitHostPort(value); !ok {
		return errHost
	}
	if s.seen&targetHasHost == 0 {
		req.Host = value
	}
	return nil
}

func (s *section) addExpect(value []byte) {
	for len(value) > 0 {
		var expectation []byte
		expectation, value = nextElement(value)
		switch {
		case equalFold(expectation, "100-continue"):
			s.seen |= expectContinue
		case len(expectation) > 0:
			s.seen |= expectSomething
		}
	}
}

// finish judges the head as a whole once all its lines are in.
func (s *section) finish(req *Request) *Error {
	// RFC 9112 3.2: 400 for no Host in HTTP/1.1 and for more than one in any version.
	if s.seen&hostTwice != 0 {
		return errHostTwice
	}
	if s.seen&hostSeen == 0 && req.MinorVersion > 0 {
		return errHostMissing
	}
	if err := s.frame(req); err != nil {
		return err
	}
	// RFC 9110 10.1.1: an expectation in HTTP/1.0 is to be ignored.
	req.ExpectContinue = false
	if req.MinorVersion > 0 {
		if s.seen&expectSomething != 0 {
			return ErrExpectation
		}
		req.ExpectContinue = s.seen&expectContinue != 0 && req.HasBody()
	}
	req.KeepAlive = s.connection.persists(req.MinorVersion)
	// RFC 9110 7.8: Upgrade in HTTP/1.0 is to be ignored, and so is one that may have been meant for the hop before.
	if s.connection&(upgradeValue|upgradeOption) != upgradeValue|upgradeOption || req.MinorVersion == 0 {
		req.Upgrade = nil
	}
	return nil
}
