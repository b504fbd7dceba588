// Command caddy is Caddy with its HTTP server and no plugins, as xcaddy would build it. The script beside it starts it.
package main

import (
	_ "github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func main() { caddycmd.Main() }
