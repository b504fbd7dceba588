#!/bin/sh
# Caddy, listening on the address that it is called with. SIGQUIT ends it immediately, SIGTERM gracefully (Caddy's documentation,
# Command Line, Signals). / answers as rstserver's does.
set -eu
name=caddy program=${0%/*}/caddy-server remedy='make peers'
. "${0%/*}/common.sh"

cat >"$dir/Caddyfile" <<CONFIG
{
	admin off
	persist_config off
	auto_https off
	log {
		output stderr
		level ERROR
	}
	servers {
		protocols h1
		timeouts {
			idle 10m
			read_header 10m
		}
	}
}
:$port {
	bind $host
	respond / "Hello, World!"
}
CONFIG
export XDG_DATA_HOME="$dir" XDG_CONFIG_HOME="$dir"
exec "$program" run --adapter caddyfile --config "$dir/Caddyfile"
