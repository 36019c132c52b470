#!/bin/sh
# Measures the Go binding, next to caches written in Go (their versions are in benches/go/go.sum).
set -eu
cd "$(dirname "$0")/.."
command -v go >/dev/null || { echo "go is missing: install Go 1.24 or newer from https://go.dev/dl" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
make -s install PREFIX="$work/prefix" >"$work/log" 2>&1 || { cat "$work/log" && exit 1; }
export PKG_CONFIG_PATH="$work/prefix/lib/pkgconfig" LD_LIBRARY_PATH="$work/prefix/lib"
# Go's build cache ignores changes of pkg-config's output. The flag names the prefix, which is new.
export CGO_CFLAGS="-O2 -g -DST_PREFIX=$work"
(cd benches/go && go build -o "$work/bench" .)
"$work/bench"
