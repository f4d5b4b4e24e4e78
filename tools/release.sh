#!/usr/bin/env bash
# release.sh: one static binary for each platform in dist/release, with checksums.
# The version comes from the build information of the checkout.
set -euo pipefail
cd "$(dirname "$0")/.."
out=dist/release
rm -rf $out && mkdir -p $out
for platform in linux/amd64 linux/arm64 darwin/arm64; do
	name=warren-${platform/\//-}
	echo "building $name"
	GOOS=${platform%/*} GOARCH=${platform#*/} CGO_ENABLED=0 go build -trimpath -ldflags='-s -w -buildid=' -o $out/$name ./cmd/warren
done
(cd $out && sha256sum warren-* >SHA256SUMS && cat SHA256SUMS)
