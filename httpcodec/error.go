package httpcodec

// Error says why a message is malformed or refused. All values are package variables: compare them with == or errors.Is.
// After one of them the connection's framing is lost, so it can be answered with Status but not be used again.
type Error struct {
	Status int    // status code to answer with
	Reason string // what is wrong; fixed text that is safe to send, never a byte of the input

	id uint8 // index in failures
}

// Error returns the reason, preceded by the package's name.
func (e *Error) Error() string { return "httpcodec: " + e.Reason }

// failures lists every Error by its id, so that a Parser can remember one in a byte. Entry 0 means none.
var failures = []*Error{nil}

func newError(status int, reason string) *Error {
	e := &Error{Status: status, Reason: reason, id: uint8(len(failures))}
	failures = append(failures, e)
	return e
}

// Refusals for size, which a server may want to count or to log apart from malformed messages.
var (
	// ErrHeaderTooLarge: Parse found no end of the head within Limits.HeaderBytes.
	ErrHeaderTooLarge = newError(431, "request head too large")
	// ErrTooManyFields: Parse found more field lines than Limits.Fields.
	ErrTooManyFields = newError(431, "too many header fields")
	// ErrRequestTargetTooLong: Parse found no end of the request-target within Limits.HeaderBytes.
	ErrRequestTargetTooLong = newError(414, "request-target too long")
	// ErrMethodTooLong: Parse found a method that is longer than MaxMethodBytes, so none that any server knows.
	ErrMethodTooLong = newError(501, "method not implemented")
	// ErrBodyTooLarge: the content is longer than the limit given to BodyDecoder.Reset, or its length does not fit int64.
	ErrBodyTooLarge = newError(413, "content too large")
	// ErrTrailerTooLarge: the trailer section is longer than MaxTrailerBytes or has more than MaxTrailerFields lines.
	ErrTrailerTooLarge = newError(431, "trailer section too large")
	// ErrChunkOverhead: BodyDecoder.Next found chunk-size lines out of all proportion to the data in the chunks.
	ErrChunkOverhead = newError(400, "too much chunk overhead")
)

// Refusals for meaning.
var (
	// ErrVersion: the major version is not 1.
	ErrVersion = newError(505, "HTTP version not supported")
	// ErrTransferCoding: a transfer coding other than chunked.
	ErrTransferCoding = newError(501, "transfer coding not implemented")
	// ErrExpectation: an expectation other than 100-continue.
	ErrExpectation = newError(417, "expectation not supported")
)

// Malformed request lines.
var (
	errEmptyLine      = newError(400, "more than one empty line before the request")
	errBareCR         = newError(400, "CR without LF")
	errBareLF         = newError(400, "LF without CR")
	errMethod         = newError(400, "malformed method")
	errRequestLine    = newError(400, "malformed request line")
	errVersionSyntax  = newError(400, "malformed HTTP version")
	errTarget         = newError(400, "malformed request-target")
	errTargetForm     = newError(400, "request-target form does not suit the method")
	errTargetScheme   = newError(400, "request-target scheme is not http or https")
	errTargetUserinfo = newError(400, "userinfo in request-target")
	errTargetHost     = newError(400, "malformed host in request-target")
)

// Malformed fields.
var (
	errFieldFold        = newError(400, "field line starts with whitespace")
	errFieldName        = newError(400, "malformed field name")
	errFieldColon       = newError(400, "field line without colon")
	errFieldValue       = newError(400, "control character in field value")
	errHostMissing      = newError(400, "no Host field")
	errHostTwice        = newError(400, "more than one Host field")
	errHost             = newError(400, "malformed Host field")
	errLength           = newError(400, "malformed Content-Length")
	errLengthTwice      = newError(400, "more than one Content-Length field")
	errEncoding         = newError(400, "malformed Transfer-Encoding")
	errEncodingLast     = newError(400, "chunked is not the final transfer coding")
	errEncodingVersion  = newError(400, "Transfer-Encoding in HTTP/1.0")
	errEncodingAndSized = newError(400, "both Transfer-Encoding and Content-Length")
)

// Malformed chunked content.
var (
	errChunkSize    = newError(400, "malformed chunk-size")
	errChunkExt     = newError(400, "malformed chunk-ext")
	errChunkEnd     = newError(400, "chunk data not followed by CRLF")
	errTrailerField = newError(400, "field not allowed in trailer section")
)
