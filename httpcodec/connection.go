package httpcodec

// connection notes what the Connection field lists, and whether there is an Upgrade field to go with it.
type connection uint8

const (
	closeOption     connection = 1 << iota // close
	keepAliveOption                        // keep-alive
	upgradeOption                          // upgrade
	otherOption                            // something else, the name of a field as a rule
	badOption                              // something that is not a token
	upgradeValue                           // an Upgrade field with a value
)

// connectionOptions reads the value of a Connection field (RFC 9110 7.6.1).
func connectionOptions(value []byte) (c connection) {
	for len(value) > 0 {
		var option []byte
		option, value = nextElement(value)
		switch {
		case len(option) == 0:
		case equalFold(option, "keep-alive"):
			c |= keepAliveOption
		case equalFold(option, "close"):
			c |= closeOption
		case equalFold(option, "upgrade"):
			c |= upgradeOption
		case isToken(option):
			c |= otherOption
		default:
			c |= badOption
		}
	}
	return c
}

// persists reports whether the client lets the connection be used again after this message (RFC 9112 9.3).
func (c connection) persists(minorVersion int) bool {
	switch {
	case c&closeOption != 0:
		return false // close wins over everything else that is listed
	case c&badOption != 0:
		return false // it cannot be told what was meant, and closing is always right
	case minorVersion >= 1:
		return true // the default since HTTP/1.1
	case c&keepAliveOption != 0:
		return true // a client of HTTP/1.0 that asks for it; the answer's Connection field says yes
	default:
		return false // HTTP/1.0
	}
}
