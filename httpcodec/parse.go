package httpcodec

import (
	"bytes"
	"math"
)

// Parser reads request heads. The zero value is ready; each connection has its own, of 16 bytes.
//
// While a head is incomplete its lines are checked as they become whole, and only the position is kept, so the buffer
// may move and req may serve other connections in between. When the last line has come, the head is read once more, now
// into req: each byte is looked at a fixed number of times, in however many pieces it came.
//
//	|<- lines checked ->|<- no LF in here ->|<- new ->|
//	0                   line                scanned   len(buf)
type Parser struct {
	line    uint32 // start of the first line that is not whole yet; up to 2 it is the request line, else a field line
	scanned uint32 // bytes already searched for the end of that line
	fields  uint32 // field lines before it
	failed  uint8  // Error.id to return until Reset; 0: none
}

// Reset forgets the request begun and the error found.
func (p *Parser) Reset() { *p = Parser{} }

// Parse reads one request head from the start of buf.
//
// n > 0: req is filled in, and n bytes of buf were the head; those behind it are the content or the next request. The
// parser is ready for the next one. n == 0 without error: incomplete; call again with the same bytes and more behind
// them. The content of req is then unspecified. err is always an *Error: the same is returned until Reset.
func (p *Parser) Parse(buf []byte, lim Limits, req *Request) (n int, err error) {
	if p.failed != 0 {
		return 0, failures[p.failed]
	}
	n, e := p.parse(buf, lim, req)
	if e != nil {
		p.failed = e.id
		return 0, e
	}
	return n, nil
}

func (p *Parser) parse(buf []byte, lim Limits, req *Request) (int, *Error) {
	if lim.HeaderBytes <= 0 {
		lim.HeaderBytes = DefaultHeaderBytes
	}
	if lim.Fields <= 0 {
		lim.Fields = DefaultFields
	}
	// What lies behind the limit must not matter, as it might not have come yet.
	full := min(lim.HeaderBytes, math.MaxInt32)
	if len(buf) > full {
		buf = buf[:full]
	}
	line, scanned := int(p.line), int(p.scanned)
	if scanned > len(buf) { // not the same bytes: begin again
		p.Reset()
		line, scanned = 0, 0
	}
	fields := int(p.fields)
	resumed := line > 2
	req.Fields = req.Fields[:0]
	var s section
	if lim.LaxTarget {
		s.lax = isLax
	}

	if !resumed {
		if line == 0 && scanned <= 1 && len(buf) > 0 && buf[0] == '\r' {
			// RFC 9112 2.2: ignore at least one empty line before the request line.
			if len(buf) == 1 {
				return p.incomplete(buf, full, 0, 0)
			}
			if buf[1] != '\n' {
				return 0, errBareCR
			}
			line, scanned = 2, max(scanned, 2)
		}
		// The first byte shows a client that speaks something else, TLS for one, without waiting for a line.
		if scanned == line && len(buf) > line && class[buf[line]]&isTchar == 0 {
			if buf[line] == '\r' || buf[line] == '\n' {
				return 0, errEmptyLine
			}
			return 0, errMethod
		}
		i := bytes.IndexByte(buf[scanned:], '\n')
		if i < 0 {
			return p.incomplete(buf, full, line, 0)
		}
		end := scanned + i
		if buf[end-1] != '\r' {
			return 0, errBareLF
		}
		if err := parseRequestLine(buf[line:end-1:end-1], req, &s); err != nil {
			return 0, err
		}
		line, scanned = end+1, end+1
	}

	for {
		i := bytes.IndexByte(buf[scanned:], '\n')
		if i < 0 {
			return p.incomplete(buf, full, line, fields)
		}
		end := scanned + i
		if buf[end-1] != '\r' {
			return 0, errBareLF
		}
		if end-1 == line {
			*p = Parser{}
			if resumed {
				return p.parse(buf[:end+1], lim, req)
			}
			return end + 1, s.finish(req)
		}
		if fields++; fields > lim.Fields {
			return 0, ErrTooManyFields
		}
		name, value, err := splitField(buf[line : end-1 : end-1])
		if err != nil {
			return 0, err
		}
		req.Fields = append(req.Fields, Field{Name: name, Value: value})
		if err := s.add(name, value, req); err != nil {
			return 0, err
		}
		line, scanned = end+1, end+1
	}
}

// incomplete notes how far Parse came, or finds that nothing that may still come can complete the head.
func (p *Parser) incomplete(buf []byte, full, line, fields int) (int, *Error) {
	if len(buf) == full {
		if line > 2 {
			return 0, ErrHeaderTooLarge
		}
		return 0, requestLineTooLong(buf[line:])
	}
	p.line, p.scanned, p.fields = uint32(line), uint32(len(buf)), uint32(fields)
	return 0, nil
}
