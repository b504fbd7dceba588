# What the scripts of servers share that need a configuration. A script sources it with the name of its server in $name, the program in
# $program, what brings that in $remedy if it is not make deps, and the address that it was called with in $1, with --tls CERT KEY behind it
# where it is to serve over TLS with these files. It gets these, and the line that whoever measures waits for is printed once the server,
# which takes the script's process over, listens.
#
#   $address, $host, $port  where to listen
#   $cert, $key             the files; empty: it does not serve over TLS
#   $dir                    a directory of its own
#   $files                  how many descriptors a process may have, and is to need at the most
address=$1
host=${address%:*}
port=${address##*:}
cert='' key='' scheme=http
[ "${2:-}" != --tls ] || { cert=$3 key=$4 scheme=https && shift 3; } # what is behind them is where it is without
PATH=$PATH:/usr/sbin:/usr/local/sbin
command -v "$program" >/dev/null || { echo "$name is missing; ${remedy:-as root: make deps}" >&2; exit 1; }

# The directory is named after this process, which the server takes over, so nobody is left to remove it in the end: the next
# start does, once the process is gone.
# Whoever calls with a directory of his own looks after it, and sees by himself when the server listens.
dir=${2:-}
tmp=${TMPDIR:-/tmp}
[ -n "$dir" ] || for old in "$tmp/rstserver-$name".*; do
  [ -d "/proc/${old##*.}" ] || rm -rf "$old" 2>/dev/null || true # some are of other users
done
[ -n "$dir" ] || { dir=$tmp/rstserver-$name.$$ && mkdir -m 700 "$dir"; }

# One process may get all connections.
files=$(ulimit -H -n)
[ "$files" != unlimited ] && [ "$files" -lt 21000 ] || files=21000

[ -n "${2:-}" ] ||
# A grandchild, so that the server does not meet with a child that it knows nothing of.
(
  (
    state=$(printf ':%04X 00000000:0000 0A ' "$port")
    while [ -e /proc/$$/exe ]; do # until the server has ended
      for inode in $(grep "$state" /proc/net/tcp | awk '{ print $10 }'); do
        # and not somebody else's, but that of a child perhaps
        if ls -l /proc/$$/fd $(sed 's|\([0-9][0-9]*\) *|/proc/\1/fd |g' "/proc/$$/task/$$/children") 2>/dev/null | grep -q "socket:\[$inode\]"; then
          echo "listening on $scheme://$address"
          exit
        fi
      done
      sleep 0.02
    done
  ) &
)
