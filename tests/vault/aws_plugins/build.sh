#!/bin/sh
# Builds Vault's auth method and secrets engine `aws` as plugins, into build/vault-aws-plugins. Does nothing if they are
# there. The first build downloads about 300 MB of Go modules. Several processes may run it at once.
set -eu
cd "$(dirname "$0")/../../.."
build=$PWD/build/vault-aws-plugins
sources="tests/vault/aws_plugins/main.go tests/vault/aws_plugins/go.mod tests/vault/aws_plugins/go.sum"

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
echo "building Vault's auth method and secrets engine aws for the tests, into $build" >&2
# With the flags of tests/fleet/run.sh, so that Go's own packages are compiled once.
(cd tests/vault/aws_plugins && GOTOOLCHAIN=local CGO_ENABLED=0 go build -ldflags='-s -w' -o "$build/aws" .)
ln -f "$build/aws" "$build/aws-secrets"
# shellcheck disable=SC2086
cat $sources >"$build.sources"
