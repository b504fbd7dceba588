package httpcodec

import "math"

// maxChunkSizeDigits bounds the digits of a chunk-size, leading zeros included.
const maxChunkSizeDigits = 16

// chunkByte takes the next byte of a chunk-size line or of the line end after chunk data (RFC 9112 7.1).
func (d *BodyDecoder) chunkByte(c byte) *Error {
	if err := d.addOverhead(); err != nil {
		return err
	}
	switch d.state {
	case chunkSize:
		if class[c]&isHex != 0 {
			return d.chunkSizeDigit(c)
		}
		if d.digits == 0 {
			return errChunkSize
		}
		return d.afterExt(c, errChunkSize)
	case extBWS:
		switch c {
		case ' ', '\t':
		case ';':
			d.state = extName0
		default:
			return errChunkExt
		}
	case extName0:
		switch {
		case c == ' ' || c == '\t':
		case class[c]&isTchar != 0:
			d.state = extName
		default:
			return errChunkExt
		}
	case extName:
		switch {
		case class[c]&isTchar != 0:
		case c == '=':
			d.state = extValue0
		case c == ' ' || c == '\t':
			d.state = extNameBWS
		default:
			return d.afterExt(c, errChunkExt)
		}
	case extNameBWS:
		switch c {
		case ' ', '\t':
		case '=':
			d.state = extValue0
		case ';':
			d.state = extName0
		default:
			return errChunkExt
		}
	case extValue0:
		switch {
		case c == ' ' || c == '\t':
		case c == '"':
			d.state = extQuoted
		case class[c]&isTchar != 0:
			d.state = extToken
		default:
			return errChunkExt
		}
	case extToken:
		if class[c]&isTchar == 0 {
			return d.afterExt(c, errChunkExt)
		}
	case extQuoted:
		switch {
		case c == '"':
			d.state = extQuotedEnd
		case c == '\\':
			d.state = extQuotedPair
		case c < 0x20 && c != '\t' || c == 0x7f:
			return errChunkExt // CR and LF above all: a parser that looks for line ends alone would stop here
		}
	case extQuotedPair:
		if c < 0x20 && c != '\t' || c == 0x7f {
			return errChunkExt
		}
		d.state = extQuoted
	case extQuotedEnd:
		return d.afterExt(c, errChunkExt)
	case chunkSizeLF:
		if c != '\n' {
			return errBareCR
		}
		return d.startChunk()
	case chunkDataCR:
		if c != '\r' {
			return errChunkEnd
		}
		d.state = chunkDataLF
	case chunkDataLF:
		if c != '\n' {
			return errChunkEnd
		}
		d.state = chunkSize
		d.digits = 0
	}
	return nil
}

// afterExt takes what may follow a chunk-size or a chunk-ext: whitespace before another one, ";", or the end of the line.
func (d *BodyDecoder) afterExt(c byte, otherwise *Error) *Error {
	switch c {
	case '\r':
		d.state = chunkSizeLF
	case ';':
		d.state = extName0
	case ' ', '\t':
		d.state = extBWS
	case '\n':
		return errBareLF
	default:
		return otherwise
	}
	return nil
}

func (d *BodyDecoder) chunkSizeDigit(c byte) *Error {
	if d.digits++; d.digits > maxChunkSizeDigits {
		return errChunkSize
	}
	if d.remaining > math.MaxInt64>>4 {
		return ErrBodyTooLarge
	}
	v := c - '0'
	if c >= 'A' {
		v = c | 0x20 - 'a' + 10
	}
	d.remaining = d.remaining<<4 | int64(v)
	return nil
}

// startChunk acts on a chunk-size line that is whole.
func (d *BodyDecoder) startChunk() *Error {
	if d.remaining == 0 {
		d.state = trailerLine
		return nil
	}
	if d.max >= 0 {
		if d.remaining > d.max {
			return ErrBodyTooLarge
		}
		d.max -= d.remaining
	}
	// Overhead is forgiven with data, by the measure of net/http: 16 bytes a chunk, and twice the data.
	if d.remaining >= maxOverhead {
		d.overhead = 0
	} else {
		d.overhead = max(d.overhead-16-2*d.remaining, 0)
	}
	d.state = chunkData
	return nil
}

// maxOverhead bounds the bytes of chunk-size lines that are not made up for by data. A sender that puts each byte into a
// chunk of its own (6 bytes for one) stays below for ever; one that sends long chunk-exts for little data does not.
const maxOverhead = 16 << 10

// addOverhead counts a byte that is not data.
func (d *BodyDecoder) addOverhead() *Error {
	if d.overhead++; d.overhead > maxOverhead {
		return ErrChunkOverhead
	}
	return nil
}
