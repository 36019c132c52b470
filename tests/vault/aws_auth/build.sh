#!/bin/sh
# Builds Vault's auth method `aws` as a plugin, into build/vault-aws-auth. Does nothing if it is there. The first build
# downloads about 300 MB of Go modules. Several processes may run it at once.
set -eu
cd "$(dirname "$0")/../../.."
build=$PWD/build/vault-aws-auth
sources="tests/vault/aws_auth/main.go tests/vault/aws_auth/go.mod tests/vault/aws_auth/go.sum"

# The stamp is written last, so that an interrupted build is repeated.
is_there() {
    # shellcheck disable=SC2086
    cat $sources | cmp -s - "$build.sources"
}
if is_there; then
    exit 0
fi
command -v go >/dev/null || {
    echo "go is missing: install Go 1.24 or newer from https://go.dev/dl" >&2
    exit 1
}
mkdir -p "$build"
exec 9>"$build.lock"
flock 9
if is_there; then
    exit 0
fi
echo "building Vault's auth method aws for the tests, into $build" >&2
# With the flags of tests/fleet/run.sh, so that Go's own packages are compiled once.
(cd tests/vault/aws_auth && GOTOOLCHAIN=local CGO_ENABLED=0 go build -ldflags='-s -w' -o "$build/aws" .)
# shellcheck disable=SC2086
cat $sources >"$build.sources"
