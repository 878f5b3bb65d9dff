#!/bin/sh
# Builds the Go service of the tests into .cache/tools/ and prints the binary's path.
set -eu
source=$(cd "$(dirname "$0")" && pwd)
cd "$source/../../.."
key=$( (cat "$source/main.go" "$source/go.mod"; go env GOVERSION) | sha256sum | cut -c1-8)
binary=$PWD/.cache/tools/goservice-$key
if [ ! -x "$binary" ]; then
  mkdir -p .cache/tools
  work=$(mktemp -d "$PWD/.cache/tools/work.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  cp "$source/main.go" "$source/go.mod" "$work"
  cd "$work"
  CGO_ENABLED=0 GOFLAGS=-mod=mod go build -trimpath -buildvcs=false -ldflags "-s -w" -o goservice . >&2
  mv goservice "$binary"
fi
echo "$binary"
