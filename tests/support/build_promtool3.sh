#!/bin/sh
# Builds promtool 3, or with the argument `prometheus` the server (without its web UI), from the Go module proxy into
# .cache/prometheus/<version>/ and prints that directory: Debian has 2.42. Once built, it only prints. About 90 s and 50 MB;
# needs Go 1.25 or newer.
set -eu
cd "$(dirname "$0")/../.."
program=${1:-promtool}
version=v0.313.2  # 3.13.2: since 3.0 the module's minor is the product's, in three digits
command -v go >/dev/null || { echo "build_promtool3.sh: no Go (1.25 or newer) here: install it" >&2; exit 3; }
out=$PWD/.cache/prometheus/$version
if [ ! -x "$out/$program" ]; then
  echo "build_promtool3.sh: building $program $version into $out: minutes the first time" >&2
  mkdir -p "$out"
  work=$(mktemp -d "$out/work.XXXXXX")
  trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
  source=$(cd "$work" && go mod download -json "github.com/prometheus/prometheus@$version" | sed -n 's/.*"Dir": "\(.*\)",*/\1/p')
  cp -R "$source" "$work/source"  # its go.mod replaces modules, which `go install` refuses
  chmod -R u+w "$work/source"
  (cd "$work/source" && GOWORK=off CGO_ENABLED=0 go build -tags remove_all_sd -trimpath -buildvcs=false -ldflags "-s -w" -o "$work/$program" "./cmd/$program") >&2
  mv "$work/$program" "$out/$program"  # atomic: whoever looks sees no binary or a whole one
fi
echo "$out"
