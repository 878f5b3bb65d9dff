#!/bin/sh
# Builds the API server's validation of one Kubernetes version into .cache/kubernetes/ and prints the binary's path:
#   sh build.sh 1.32.13
set -eu
source=$(cd "$(dirname "$0")" && pwd)
cd "$source/../../.."
version=$1
key=$( (sha256sum < "$source/main.go"; go env GOVERSION) | sha256sum | cut -c1-8)
binary=$PWD/.cache/kubernetes/$version-$key
if [ ! -x "$binary" ]; then
  echo "build.sh: building the validation of Kubernetes $version" >&2
  mkdir -p .cache/kubernetes
  work=$(mktemp -d "$PWD/.cache/kubernetes/work.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  cp "$source/main.go" "$work"
  cd "$work"
  manifest=$(go mod download -json "k8s.io/kubernetes@v$version" | sed -n 's/.*"GoMod": "\(.*\)".*/\1/p')
  {
    printf 'module apiserver\n\ngo %s\n\nrequire k8s.io/kubernetes v%s\n\n' "$(sed -n 's/^go //p' "$manifest")" "$version"
    # Its own go.mod takes these from folders of its repository; published they are modules with the same minor version.
    sed -n "s|^\t*\(k8s.io/[a-z-]*\) => ./staging.*|replace \1 => \1 v0.${version#1.}|p" "$manifest"
  } > go.mod
  CGO_ENABLED=0 GOFLAGS=-mod=mod go build -trimpath -buildvcs=false -ldflags "-s -w" -o apiserver . >&2
  mv apiserver "$binary"
fi
echo "$binary"
