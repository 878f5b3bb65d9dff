#!/bin/sh
# Builds the collector of builder.yaml into .cache/otelcol/<manifest and Go version>/ and prints the binary's path.
# Once built, it only prints. `GOFLAGS` and `GOMAXPROCS` are yours; the download comes from the Go module proxy.
set -eu
cd "$(dirname "$0")/.."
manifest=${MANIFEST:-collector/builder.yaml}
version=$(sed -n 's/^  version: *//p' "$manifest")
command -v go >/dev/null || { echo "build.sh: no Go (1.26 or newer) here: install it, or name an otelcol-contrib $version by OTELCOL=..." >&2; exit 3; }

key=$( (sha256sum < "$manifest"; go env GOVERSION GOOS GOARCH) | sha256sum | cut -c1-16)
out=.cache/otelcol/$key
binary=$PWD/$out/otelcol
if [ ! -x "$binary" ]; then
  echo "build.sh: building the collector $version into $out: minutes the first time, for it downloads and compiles its modules" >&2
  mkdir -p "$out"
  work=$(mktemp -d "$PWD/$out/work.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  sed "s|^dist:|dist:\n  output_path: $work|" "$manifest" > "$work/builder.yaml"
  export CGO_ENABLED=0 GOFLAGS="${GOFLAGS:-} -trimpath -buildvcs=false"
  # The builder also wants what only the modules' own tests import. A proxy that lacks that is gone on without (-e); what
  # the binary itself lacks fails the build.
  go run "go.opentelemetry.io/collector/cmd/builder@v$version" --config "$work/builder.yaml" --skip-compilation > "$work/log" 2>&1 ||
    (cd "$work" && go mod tidy -e > "$work/log" 2>&1) || true
  (cd "$work" && go build -ldflags "-s -w" -o otelcol-slotel .) >&2 || { cat "$work/log" >&2; exit 1; }
  mv "$work/otelcol-slotel" "$binary"  # atomic: whoever looks sees no binary or a whole one
fi
echo "$binary"
