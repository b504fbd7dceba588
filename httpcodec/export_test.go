package httpcodec

// Internals for the external tests.

var (
	IsText        = isText
	IsIPv6        = isIPv6
	SplitHostPort = splitHostPort
	Failures      = failures[1:]
)

// CheckedLines is the offset up to which lines have been checked while a head is incomplete, and Scanned the one up to
// which the end of the line there has been searched for.
func (p *Parser) CheckedLines() int { return int(p.line) }

func (p *Parser) Scanned() int { return int(p.scanned) }
