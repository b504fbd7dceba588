#!/bin/sh
# Builds what is given to others, from a clean commit, into a directory: static programs for amd64 and arm64, a Debian package of each, and
# SHA256SUMS. The same commit and the same Go give the same bytes, wherever it is built: --check builds a second time, of a clone in another
# place and with an empty cache, and compares.
#	cmd/rstserver/deploy/dist.sh DIR NFPM
#	cmd/rstserver/deploy/dist.sh --check DIR NFPM
set -eu
if [ "$1" = --check ]; then
	elsewhere=$(mktemp -d)
	trap 'chmod -R u+w "$elsewhere"; rm -rf "$elsewhere"' EXIT
	git clone -q . "$elsewhere/clone"
	(cd "$elsewhere/clone" && GOCACHE=$elsewhere/cache sh cmd/rstserver/deploy/dist.sh "$elsewhere/dist" "$3")
	cmp "$2/SHA256SUMS" "$elsewhere/dist/SHA256SUMS"
	(cd "$elsewhere/dist" && sha256sum --quiet -c SHA256SUMS)
	echo "a second build is the same, byte for byte"
	exit
fi
[ -z "$(git status --porcelain)" ] || { echo "dist.sh: there are changes that are in no commit: commit them first, as a build of them could not be repeated" >&2; exit 1; }
mkdir -p "$1"
dir=$(cd "$1" && pwd) nfpm=$2
rm -rf "$dir"/rstserver_* "$dir/SHA256SUMS"
# What an environment could have otherwise, by go env -w too; where modules come from is its own affair.
for name in GOPROXY GOSUMDB GOPRIVATE GONOPROXY GONOSUMDB; do export "$name=$(go env $name)"; done
export GOENV=off GOWORK=off GOFIPS140=off CGO_ENABLED=0 GOFLAGS= GOAMD64=v1 GOARM64=v8.0 GOEXPERIMENT= GOOS=linux LC_ALL=C TZ=UTC
export SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
mtime=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
umask 022
deploy=cmd/rstserver/deploy
for arch in amd64 arm64; do
	stage=$dir/stage
	rm -rf "$stage"
	mkdir -p "$stage/units" "$stage/doc" "$stage/scripts"
	GOARCH=$arch go build -trimpath -buildvcs=true -ldflags='-s -w' -o "$stage/rstserver" ./cmd/rstserver
	# v1.2.3 of a tag, or v0.0.0-DATE-COMMIT, which is before it.
	version=$(go version -m "$stage/rstserver" | awk '$1 == "mod" {print $3}')
	case $version in *+dirty) echo "dist.sh: files were changed while it was built: begin again" >&2; exit 1 ;; esac
	[ "${built:=$version}" = "$version" ] || { echo "dist.sh: there is another commit since $built was built: begin again" >&2; exit 1; }
	version=$(echo "${version#v}" | tr - '~')
	for unit in $deploy/rstserver*; do
		sed 's:/usr/local/bin/:/usr/bin/:' "$unit" >"$stage/units/${unit##*/}"
	done
	GOARCH= GOOS= go run ./cmd/rstserver docs "$stage"
	gzip -9n "$stage"/man/*
	cp $deploy/*.md $deploy/*.cfg $deploy/*.conf $deploy/*.yml $deploy/*.yaml "$stage/doc"
	cp LICENSE "$stage/copyright"
	cp $deploy/package/sysusers.conf "$stage"
	for script in postinst prerm postrm; do cp $deploy/package/$script "$stage/scripts"; done
	find "$stage" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
	sed "s|@STAGE@|$stage|; s|@ARCH@|$arch|; s|@VERSION@|$version|; s|@MTIME@|$mtime|" $deploy/package/nfpm.yaml >"$dir/stage.yaml"
	"$nfpm" package --config "$dir/stage.yaml" --packager deb --target "$dir/rstserver_${version}_$arch.deb" >"$dir/stage.log" || { cat "$dir/stage.log" >&2; exit 1; }
	cp -p "$stage/rstserver" "$dir/rstserver_${version}_linux_$arch"
done
rm -rf "$dir"/stage*
cd "$dir" && sha256sum rstserver_* >SHA256SUMS && cat SHA256SUMS
