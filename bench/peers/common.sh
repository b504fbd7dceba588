# What the scripts of servers share that need a configuration. A script sources it with the name of its server in $name, the program in
# $program, what brings that in $remedy if it is not make deps, and the address that it was called with in $1. It gets these, and the
# line that whoever measures waits for is printed once the server, which takes the script's process over, listens.
#
#   $address, $host, $port  where to listen
#   $dir                    a directory of its own
#   $files                  how many descriptors a process may have, and is to need at the most
address=$1
host=${address%:*}
port=${address##*:}
PATH=$PATH:/usr/sbin:/usr/local/sbin
command -v "$program" >/dev/null || { echo "$name is missing; ${remedy:-as root: make deps}" >&2; exit 1; }

# The directory is named after this process, which the server takes over, so nobody is left to remove it in the end: the next
# start does, once the process is gone.
tmp=${TMPDIR:-/tmp}
for old in "$tmp/rstserver-$name".*; do
  [ -d "/proc/${old##*.}" ] || rm -rf "$old" 2>/dev/null || true # some are of other users
done
dir=$tmp/rstserver-$name.$$
mkdir -m 700 "$dir"

# One process may get all connections.
files=$(ulimit -H -n)
[ "$files" != unlimited ] && [ "$files" -lt 21000 ] || files=21000

# A grandchild, so that the server does not meet with a child that it knows nothing of.
(
  (
    state=$(printf ':%04X 00000000:0000 0A ' "$port")
    while [ -e /proc/$$/exe ]; do # until the server has ended
      for inode in $(grep "$state" /proc/net/tcp | awk '{ print $10 }'); do
        if ls -l /proc/$$/fd 2>/dev/null | grep -q "socket:\[$inode\]"; then # and not somebody else's
          echo "listening on http://$address"
          exit
        fi
      done
      sleep 0.02
    done
  ) &
)
