package httpcodec

// BodyDecoder decodes the content of one request: as many bytes as Content-Length says, or chunks (RFC 9112 6, 7.1).
// It takes whatever bytes have come and keeps none but those of a trailer section, so nothing has to be put by until a
// line is whole. The zero value decodes no content at all. Reset keeps the memory of a trailer section, at most some 16 KiB,
// for the next one.
type BodyDecoder struct {
	state     bodyState
	digits    uint8 // hexadecimal digits of the chunk-size so far
	max       int64 // bytes of content that may still be announced; negative: any number
	remaining int64 // bytes left of the content or of the chunk; in chunk-size, its value so far
	overhead  int64 // see addOverhead
	failed    *Error
	trailer   *trailer // nil before the first line of a trailer section
}

// bodyState says what comes next. States from chunkSize on are those of chunked content; each of extName, extToken and
// extQuotedEnd, like chunkSize itself, can also go to extBWS, extName0 and chunkSizeLF:
//
//	chunkSize → chunkSizeLF → chunkData → chunkDataCR → chunkDataLF → chunkSize
//	                        ↘ trailerLine, after chunk-size 0 → bodyDone, after an empty line
//
//	extBWS → extName0 → extName → extNameBWS → extValue0 → extToken
//	                                                     ↘ extQuoted ⇄ extQuotedPair
//	                                                       extQuoted → extQuotedEnd
type bodyState uint8

const (
	bodyDone  bodyState = iota
	bodySized           // content of known length

	chunkSize     // HEXDIG, then BWS, ";" or CR
	extBWS        // whitespace before ";" which has to come
	extName0      // after ";": whitespace, or the name's first character
	extName       // in the name
	extNameBWS    // whitespace after the name: "=" or ";" has to come
	extValue0     // after "=": whitespace, or the value's first character
	extToken      // in a token
	extQuoted     // in a quoted-string
	extQuotedPair // after a backslash in a quoted-string
	extQuotedEnd  // after a quoted-string: whitespace, ";" or CR
	chunkSizeLF   // LF of a chunk-size line
	chunkData     // data
	chunkDataCR   // CR after data
	chunkDataLF   // LF after data
	trailerLine   // in the trailer section
)

// Reset prepares for the content that follows the head req, of which it keeps nothing. max bounds the decoded content
// in bytes; zero and less mean no bound. A Content-Length above max is ErrBodyTooLarge at once, and stays.
func (d *BodyDecoder) Reset(req *Request, max int64) error {
	if max <= 0 {
		max = -1
	}
	*d = BodyDecoder{max: max, trailer: d.trailer.empty()}
	switch {
	case req.Chunked:
		d.state = chunkSize
	case req.ContentLength > 0:
		d.state = bodySized
		d.remaining = req.ContentLength
		if max > 0 && d.remaining > max {
			d.failed = ErrBodyTooLarge
			return d.failed
		}
	}
	return nil
}

// Done reports whether the content is complete, its trailer section included. What follows is the next request.
func (d *BodyDecoder) Done() bool { return d.state == bodyDone && d.failed == nil }

// Next decodes from the start of src. It consumes n bytes, which the caller can forget, and returns the content in them
// as a view into src, possibly empty. As data is handed out in one piece at a time, call again with what follows until
// Done or until src is used up: Next leaves bytes unread only behind data and behind the end of the message. err is
// always an *Error: the same is returned until Reset. Data that preceded it has been returned before.
func (d *BodyDecoder) Next(src []byte) (data []byte, n int, err error) {
	if d.failed != nil {
		return nil, 0, d.failed
	}
	for n < len(src) && d.state != bodyDone {
		if d.state == bodySized || d.state == chunkData {
			data = src[n:]
			if int64(len(data)) > d.remaining {
				data = data[:d.remaining:d.remaining]
			}
			if d.remaining -= int64(len(data)); d.remaining == 0 {
				if d.state == bodySized {
					d.state = bodyDone
				} else {
					d.state = chunkDataCR
				}
			}
			return data, n + len(data), nil
		}
		var e *Error
		if d.state == trailerLine {
			var used int
			used, e = d.trailerSection(src[n:])
			n += used
		} else {
			e = d.chunkByte(src[n])
			n++
		}
		if e != nil {
			d.failed = e
			return nil, n, e
		}
	}
	return nil, n, nil
}

// Trailers returns the fields of the trailer section once Done, in memory that is the decoder's until Reset. Fields that
// frame or route a message (Content-Length, Transfer-Encoding, Host) are refused with 400 where they are met. Others
// that RFC 9110 6.5.1 keeps out of trailers, since they act on how a message is received, are dropped without a word.
func (d *BodyDecoder) Trailers() []Field {
	if !d.Done() || d.trailer == nil {
		return nil
	}
	return d.trailer.fields
}
