#!/bin/sh
# Measures requests per second with wrk, the servers in turn, and prints the median of each.
# usage: throughput.sh ROUNDS SECONDS NAME=COMMAND... ; a COMMAND is called with the address to listen on as its last word.
set -eu
rounds=$1 seconds=$2
shift 2
here=$(dirname "$0")
out=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null; rm -rf "$out"' EXIT INT TERM
port=$((20000 + $$ % 10000)) # below the ports that clients get
i=0
while [ "$i" -lt "$rounds" ]; do
  for server in "$@"; do
    name=${server%%=*}
    port=$((port + 1))
    : >"$out/log" # of the one before, which said that it listened
    ${server#*=} "127.0.0.1:$port" >"$out/log" 2>&1 &
    pid=$!
    until grep -q 'listening on' "$out/log"; do
      kill -0 "$pid" || { cat "$out/log"; exit 1; }
      sleep 0.05
    done
    wrk -t2 -c64 -d"${seconds}s" "http://127.0.0.1:$port/" | awk '/Requests\/sec/ {print $2}' >>"$out/$name.plain"
    wrk -t2 -c64 -d"${seconds}s" -s "$here/pipeline.lua" "http://127.0.0.1:$port/" | awk '/Requests\/sec/ {print $2}' >>"$out/$name.pipelined"
    kill -9 "$pid"
    wait "$pid" 2>/dev/null || true
    pid=
  done
  i=$((i + 1))
done
printf '%-12s %22s %22s\n' "requests/s" "64 connections" "pipelined 16 deep"
for server in "$@"; do
  name=${server%%=*}
  set -- "$name"
  for kind in plain pipelined; do
    set -- "$@" "$(sort -n "$out/$name.$kind" | awk '{v[NR]=$1} END {print (NR%2) ? v[(NR+1)/2] : (v[NR/2]+v[NR/2+1])/2}')"
  done
  printf '%-12s %22.0f %22.0f\n' "$@"
done
