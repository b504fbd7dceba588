#!/bin/sh
# Caddy, listening on the address that it is called with. SIGQUIT ends it immediately, SIGTERM gracefully (Caddy's documentation,
# Command Line, Signals). / answers as rstserver's does. With --tls CERT KEY right behind the address it serves over TLS, HTTP/2 too.
set -eu
name=caddy program=${0%/*}/caddy-server remedy='make peers'
. "${0%/*}/common.sh"

# With a directory of the caller's it can be reloaded.
admin=off
[ -z "${2:-}" ] || admin=unix/$dir/admin

protocols=h1 tls=
[ -z "$cert" ] || protocols='h1 h2' tls="tls $cert $key"

cat >"$dir/Caddyfile" <<CONFIG
{
	admin $admin
	persist_config off
	auto_https off
	log {
		output stderr
		level ERROR
	}
	servers {
		protocols $protocols
		timeouts {
			idle 10m
			read_header 10m
		}
	}
}
$scheme://:$port {
	bind $host
	$tls
	respond / "Hello, World!"
}
CONFIG
export XDG_DATA_HOME="$dir" XDG_CONFIG_HOME="$dir"
exec "$program" run --adapter caddyfile --config "$dir/Caddyfile"
