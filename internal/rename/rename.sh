#!/bin/sh
# Gives the module in the current directory, and the modules below it, another path.
# usage: rename.sh MODULE, such as example.com/you/rstserver
set -eu
new=${1-}
case $new in
'' | /* | */ | *//* | -* | *[!A-Za-z0-9._~/-]*)
  echo "rename: '$new' is no path of a module; say make rename MODULE=example.com/you/rstserver" >&2
  exit 2
  ;;
esac
old=$(sed -n 's/^module //p' go.mod)
[ -n "$old" ] || { echo "rename: go.mod here names no module" >&2; exit 1; }
[ "$new" != "$old" ] || { echo "rename: the module is $old already"; exit 0; }

was=$(printf %s "$old" | sed 's/[.]/\\./g')
rooms=$(find . -mindepth 2 -name '*.go' | cut -d/ -f2 | sort -u | paste -sd'|')
# Its packages, wherever they are named but as a part of another path; the module itself, in module files and behind the flags of go mod edit.
find . \( -name .git -o -name node_modules -o -path ./bin \) -prune -o -type f \( -name '*.go' -o -name '*.txt' -o -name '*.md' -o -name go.mod \) -print0 |
  xargs -0 sed -E -i \
    -e "s#(^|[^A-Za-z0-9_~./-])$was/($rooms)\\b#\\1$new/\\2#g" \
    -e "s#\"$was/\"#\"$new/\"#g" \
    -e "s#(-require |-replace )$was([@=])#\\1$new\\2#g"
find . \( -name .git -o -name node_modules -o -path ./bin \) -prune -o -type f -name go.mod -print0 |
  xargs -0 sed -E -i -e "s#(^|[[:space:]])$was([[:space:]]|\$)#\\1$new\\2#g"
# Imports are sorted by their paths.
gofmt -w .
echo "rename: the module is $new"
