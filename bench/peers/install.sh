#!/bin/sh
# Puts the programs to compare with into DIR, ready to run. What fails is named, with its remedy, and the rest is done all the
# same; the exit code is then 1.
# usage: install.sh DIR [PART...]; the parts are go, caddy, debian and node, and without any all of them are meant.
set -u
[ $# -ge 1 ] || { echo "usage: install.sh DIR [go|caddy|debian|node...]" >&2; exit 2; }
mkdir -p "$1" || exit
dir=$(cd "$1" && pwd)
shift
[ $# -ge 1 ] || set -- go caddy debian node
cd "$(dirname "$0")" || exit
status=0

# failed PART REMEDY
failed() {
  echo "peers: $1 is left out: $2" >&2
  status=1
}

install_go() {
  # The last is no server, but measures some. One by one, since with several go build would refuse a DIR in which one of them is a folder, and with it all others.
  for program in coder fasthttp gnet gorilla gws nbio nbiows nethttp pooled restarting serving; do
    go build -o "$dir/$program" "./$program" || failed "$program" "go build has failed, see above; it needs Go 1.26 and the modules in bench/peers/go.mod"
  done
}

# install_script NAME [FILE]: what starts a server.
install_script() {
  install -m 644 common.sh "$dir/common.sh" && install -m 755 "${2:-$1}" "$dir/$1" || failed "$1" "$dir cannot be written"
}

install_caddy() {
  (cd caddy && go build -o "$dir/caddy-server" .) || {
    failed caddy "go build has failed, see above; it needs Go 1.26 and the modules in bench/peers/caddy/go.mod"
    return
  }
  install_script caddy caddy.sh
}

# install_debian: the servers that Debian has.
install_debian() {
  PATH=$PATH:/usr/sbin:/usr/local/sbin
  missing=
  for program in nginx haproxy apache2 lighttpd gunicorn; do
    command -v $program >/dev/null || missing=1
  done
  if [ "$missing" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    make -C ../.. deps >"$dir/deps.log" 2>&1 || cat "$dir/deps.log" >&2
    rm -f "$dir/deps.log"
  fi
  for server in nginx haproxy apache:apache2 lighttpd gunicorn; do
    if command -v "${server#*:}" >/dev/null; then
      install_script "${server%:*}"
    else
      failed "${server%:*}" "it is not installed; as root: make deps"
    fi
  done
  install_script front
}

install_node() {
  for tool in node npm; do
    command -v $tool >/dev/null || { failed node "$tool is missing; install Node 18.2 or newer with npm (nodejs.org, or apt-get install nodejs npm)"; return; }
  done
  node -e 'process.exit("closeAllConnections" in require("http").Server.prototype ? 0 : 1)' || {
    failed node "this is Node $(node --version), and http.Server.closeAllConnections came with 18.2; install a newer one (nodejs.org)"
    return
  }
  mkdir -p "$dir/node" && install -m 644 node/server.js node/cluster.js node/ways.js node/package.json node/package-lock.json "$dir/node" ||
    { failed node "$dir/node cannot be written"; return; }
  (cd "$dir/node" && npm ci --omit=dev --no-audit --no-fund --ignore-scripts) ||
    failed node "npm ci in $dir/node has failed, see above; it has to reach the npm registry (npm config get registry)"
}

for part; do
  case $part in
  go | caddy | debian | node) "install_$part" ;;
  *) failed "$part" "the parts are go, caddy, debian and node" ;;
  esac
done
[ $status = 0 ] && echo "peers: $* are in $dir"
exit $status
