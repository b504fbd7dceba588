package websocket

import (
	"fmt"
	"unicode/utf8"
)

// Type is what a message is (RFC 6455, section 5.6).
type Type uint8

// The types of messages. The values are the opcodes of their frames.
const (
	Text   Type = 1 // UTF-8
	Binary Type = 2
)

// String is "text" or "binary".
func (t Type) String() string {
	switch t {
	case Text:
		return "text"
	case Binary:
		return "binary"
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// Status is why a connection is closed (RFC 6455, section 7.4, and the registry of IANA). 3000 to 3999 are registered by libraries, 4000 to
// 4999 are of the application's own choice.
type Status uint16

// The registered codes. NoStatus, Abnormal and TLSHandshake are for OnClose and are never sent.
const (
	Normal             Status = 1000
	GoingAway          Status = 1001
	ProtocolError      Status = 1002
	UnsupportedData    Status = 1003
	NoStatus           Status = 1005 // the close frame has no code
	Abnormal           Status = 1006 // there was no close frame
	InvalidData        Status = 1007
	PolicyViolation    Status = 1008
	MessageTooBig      Status = 1009
	MandatoryExtension Status = 1010
	InternalError      Status = 1011
	ServiceRestart     Status = 1012
	TryAgainLater      Status = 1013
	BadGateway         Status = 1014
	TLSHandshake       Status = 1015
)

// sendable reports whether a close frame may have the code (RFC 6455, section 7.4.2).
func (s Status) sendable() bool {
	switch {
	case s == 1004 || s == NoStatus || s == Abnormal:
		return false
	case 1000 <= s && s <= BadGateway:
		return true
	}
	return 3000 <= s && s <= 4999
}

// maxReason is what a close frame has room for behind its code.
const maxReason = maxControl - 2

// checkClose says what is wrong with a code and reason that are to be sent.
func checkClose(code Status, reason string) error {
	switch {
	case !code.sendable():
		return fmt.Errorf("websocket: %d is no status code that can be sent; 1000 is that of a normal end, and 4000 to 4999 are free to use", code)
	case len(reason) > maxReason:
		return fmt.Errorf("websocket: the reason has %d bytes, and %d at most can be sent", len(reason), maxReason)
	case !utf8.ValidString(reason):
		return fmt.Errorf("websocket: the reason %q is not UTF-8", reason)
	}
	return nil
}
