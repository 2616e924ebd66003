#!/usr/bin/env bash
# Builds what the runs need into internal/gpu/bin, and packs it into bin.tar.gz, which the runs unpack. Go and a C compiler are needed here
# and not on the machine with the card; what is built links against glibc alone.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."
BIN=${BIN:-$here/bin}
mkdir -p "$BIN"
export CGO_ENABLED=1 GOFLAGS=-buildvcs=false
go build -ldflags='-s -w' -o "$BIN" ./examples/bench ./internal/gpu/randommodel
for package in qwen backend; do
	go test -c -ldflags='-s -w' -o "$BIN/$package.test" "./$package"
done
tar -C "$(dirname "$BIN")" -czf "$BIN.tar.gz" "$(basename "$BIN")"
ls -lh "$BIN" "$BIN.tar.gz"
