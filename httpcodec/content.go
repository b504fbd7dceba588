package httpcodec

import (
	"strconv"
	"time"
)

// AppendChunk appends data as one chunk (RFC 9112 7.1). Empty data appends nothing, as an empty chunk would be the last.
func AppendChunk(dst, data []byte) []byte {
	if len(data) == 0 {
		return dst
	}
	dst = AppendChunkSize(dst, len(data))
	dst = append(dst, data...)
	return append(dst, "\r\n"...)
}

// AppendChunkSize appends the line that comes before n bytes of chunk data, n above zero, for callers that write the data
// from where they are. CRLF has to follow the data.
func AppendChunkSize(dst []byte, n int) []byte {
	dst = strconv.AppendUint(dst, uint64(n), 16)
	return append(dst, "\r\n"...)
}

// AppendLastChunk appends the last chunk and the trailer section, which ends the message. A trailer that RFC 9110 6.5.1
// keeps out of trailer sections is ErrFramingField, a malformed one is ErrInvalidFieldName or ErrInvalidFieldValue; dst
// then comes back as it was.
func AppendLastChunk(dst []byte, trailers []HeaderField) ([]byte, error) {
	out := append(dst, "0\r\n"...)
	for i := range trailers {
		if trailerUse(trailers[i].Name) != trailerKept {
			return dst, ErrFramingField
		}
		var err error
		if out, err = appendField(out, trailers[i].Name, trailers[i].Value); err != nil {
			return dst, err
		}
	}
	return append(out, "\r\n"...), nil
}

// AppendContinue appends the interim answer 100 (Continue), for a request with ExpectContinue whose content is wanted
// (RFC 9110 10.1.1).
func AppendContinue(dst []byte) []byte { return append(dst, "HTTP/1.1 100 Continue\r\n\r\n"...) }

// AppendDate appends t as IMF-fixdate, 29 bytes for the years 0 to 9999 (RFC 9110 5.6.7).
func AppendDate(dst []byte, t time.Time) []byte {
	return t.UTC().AppendFormat(dst, "Mon, 02 Jan 2006 15:04:05 GMT")
}
