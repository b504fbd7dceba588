// Package httpcodec turns bytes into HTTP/1.1 messages and messages into bytes, to the letter of RFC 9112 (HTTP/1.1),
// RFC 9110 (HTTP semantics) and RFC 3986 (URI).
//
// It does no I/O, starts no goroutine, reads no clock and writes no log. What it returns are views into the bytes it was
// given, and on the path of an ordinary request and answer it allocates nothing. No value of this package may be used by
// two goroutines at once.
//
// Reading a request takes two steps, which both can be resumed at any byte:
//
//   - [Parser.Parse] reads the head (request line, field lines, empty line) into a [Request]. It has three outcomes:
//     n bytes consumed, incomplete, or an [*Error] that carries the status to answer with.
//   - [BodyDecoder.Next] reads the content, by Content-Length or chunked.
//
// Writing an answer is [Response.AppendHead], which says how the content has to be framed, then the content itself:
// as it is, or by [AppendChunk] and [AppendLastChunk].
//
// # Strictness
//
// Where an RFC lets a recipient choose between repairing and refusing, this package refuses
// whatever two parsers in a row could understand differently, since that is what request smuggling is made of. Refused
// with 400 where nothing else is said:
//
//   - a bare CR, a bare LF, NUL and any other control character (HTAB in a field value is allowed) in the head, in chunk
//     lines and in the trailer section (RFC 9112 2.2, RFC 9110 5.5);
//   - obs-fold, whitespace before a colon, before the first field line, or more than one SP between the parts of the
//     request line (RFC 9112 3, 5.1, 5.2); one empty line before the request line is allowed (RFC 9112 2.2);
//   - octets in the request-target that RFC 3986 does not allow there, such as | { } " [ ] \ ^ ` < > and 0x80 to 0xff,
//     "%" without two hexadecimal digits, a fragment, and userinfo (RFC 9110 4.2.4); Limits.LaxTarget lets in what
//     browsers are known to send;
//   - an absolute-form target whose scheme is neither http nor https or whose host is empty (RFC 9110 4.2.1): an origin
//     server has nothing to say about other schemes;
//   - no Host field in HTTP/1.1, two Host fields in any version, a Host that is not uri-host [ ":" port ]
//     (RFC 9112 3.2); an empty value is allowed, as a client has to send it for a target without authority;
//   - Content-Length twice, even when equal, as a list, with a sign, or beside Transfer-Encoding; a Content-Length that
//     is made of digits but does not fit int64 is 413 (RFC 9110 8.6, RFC 9112 6.3);
//   - Transfer-Encoding in HTTP/1.0, with empty list elements, with chunked not last, twice, or with parameters; any
//     other coding before chunked is 501 (RFC 9112 6.1, 7.1);
//   - an expectation other than 100-continue, with 417 (RFC 9110 10.1.1);
//   - a major version other than 1, with 505, the preface of HTTP/2 included (RFC 9110 15.6.6).
package httpcodec
