#!/bin/sh
# Finds the newest collector of which every module can be had, says what newer ones lack, and builds it.
# Prints the binary's path; for the pinned version it is that of build.sh. CONTRIBUTING.md says what to do with it.
set -eu
cd "$(dirname "$0")/.."
pinned=$(sed -n 's/^  version: *//p' collector/builder.yaml)
minor=${pinned#0.}
minor=${minor%%.*}
core=$(sed -n 's/.*envprovider v1\.\([0-9]*\)\..*/\1/p' collector/builder.yaml)
offset=$((minor - core))  # of the core's stable modules: 0.161 has v1.67
mkdir -p .cache/otelcol
GOPROXY=$(go env GOPROXY | sed 's/,direct//')  # who has no module must say so, not ask a version control system
export GOPROXY

newest=$(go list -m -versions go.opentelemetry.io/collector/cmd/builder | tr ' ' '\n' | sed -n 's/^v0\.\([0-9]*\)\.[0-9]*$/\1/p' | sort -n | tail -1)
while [ "$newest" -gt "$minor" ]; do
  version=0.$newest.0
  next=.cache/otelcol/builder-$version.yaml
  kubernetes=$(sed -n 's/.*k8sattributesprocessor v1\.\([0-9]*\)\..*/\1/p' collector/builder.yaml)
  sed -e "s/ v0\.$minor\.0\$/ v$version/; s/version: $pinned/version: $version/; s/ v1\.$core\.0\$/ v1.$((newest - offset)).0/" \
    -e "s/\(k8sattributesprocessor\) v1\.$kubernetes\.0/\1 v1.$((kubernetes + newest - minor)).0/" collector/builder.yaml > "$next"
  missing=$(sed -n 's/^  - gomod: \([^ ]*\) \(.*\)/\1@\2/p' "$next" | while read -r module; do
    go mod download "$module" > /dev/null 2>&1 || echo "$module"
  done)
  if [ -z "$missing" ] && MANIFEST=$next sh collector/build.sh; then
    exit 0
  fi
  echo "next.sh: not $version: cannot be had or built${missing:+: $missing}" >&2
  newest=$((newest - 1))
done
echo "next.sh: nothing newer than $pinned" >&2
exec sh collector/build.sh
