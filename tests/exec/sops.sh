#!/bin/sh
# Builds SOPS into build/sops. Does nothing if it is there. The first build downloads about 300 MB of Go modules, whose
# sums Go checks. Prints its name there. Several processes may run it at once.
set -eu
cd "$(dirname "$0")/../.."
build=$PWD/build/sops
version=v3.11.0

# Installed under another name first, so that an interrupted build is repeated.
program=$build/sops-$version
if [ -x "$program" ]; then
    echo "sops-$version"
    exit 0
fi
command -v go >/dev/null || {
    echo "go is missing: install Go 1.24 or newer from https://go.dev/dl" >&2
    exit 1
}
mkdir -p "$build"
exec 9>"$build.lock"
flock 9
if ! [ -x "$program" ]; then
    echo "building SOPS $version for the tests, into $build" >&2
    GOTOOLCHAIN=local CGO_ENABLED=0 GOBIN=$build/new go install -trimpath -ldflags='-s -w' \
        "github.com/getsops/sops/v3/cmd/sops@$version"
    mv "$build/new/sops" "$program"
fi
echo "sops-$version"
