#!/bin/sh
# Installs Sloth from the Go module proxy into .cache/sloth/<version>/ and prints its directory. About two minutes; needs Go 1.26.
set -eu
cd "$(dirname "$0")/../.."
version=v0.16.0
out=$PWD/.cache/sloth/$version
if [ ! -x "$out/sloth" ]; then
  command -v go >/dev/null || { echo "build_sloth.sh: no Go (1.26 or newer) here: install it" >&2; exit 3; }
  echo "build_sloth.sh: building Sloth $version into $out: minutes the first time" >&2
  mkdir -p "$out"
  work=$(mktemp -d "$out/work.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  GOBIN=$work CGO_ENABLED=0 go install "github.com/slok/sloth/cmd/sloth@$version" >&2
  mv "$work/sloth" "$out/sloth"
fi
echo "$out"
