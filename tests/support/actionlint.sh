#!/bin/sh
# Checks the workflows with actionlint, which Go builds once into .cache/bin. Skipped, and said so, where Go is missing.
set -eu
cd "$(dirname "$0")/../.."
version=v1.7.12
program=$PWD/.cache/bin/actionlint-$version
if [ ! -x "$program" ]; then
  if ! command -v go >/dev/null; then
    echo "actionlint: SKIPPED, it needs Go: the workflows are not checked" >&2
    [ "${REQUIRE_REAL:-0}" != 1 ]
    exit
  fi
  mkdir -p .cache/bin
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
  GOBIN=$folder GOWORK=off GOFLAGS=-mod=mod go install "github.com/rhysd/actionlint/cmd/actionlint@$version" 2>"$folder/log" || { cat "$folder/log" >&2; exit 1; }
  mv "$folder/actionlint" "$program"
fi
exec "$program"
