//go:build tools

package http2

import _ "github.com/summerwind/h2spec/cmd/h2spec" // the tests build it
