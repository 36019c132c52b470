#!/bin/sh
# Builds the programs of the fleet into build/fleet and runs it. usage: run.sh [OPTION of fleet.py]…
set -eu
cd "$(dirname "$0")/../.."
build=$PWD/build/fleet
mkdir -p "$build"
command -v go >/dev/null || {
    echo "go is missing: install Go 1.24 or newer from https://go.dev/dl" >&2
    exit 1
}
unformatted=$(gofmt -l tests/fleet/gate)
[ -z "$unformatted" ] || { echo "these files need gofmt: $unformatted" >&2 && exit 1; }
(cd tests/fleet/gate && GOTOOLCHAIN=local GOPROXY=off CGO_ENABLED=0 go build -o "$build/gate" . && go vet .)
"${CC:-cc}" -O2 -g -Wall -Wextra -Iinclude -o "$build/ranks" tests/fleet/*.c build/lib/libst_secrets.a \
    -lutil -lrt -lpthread -lm -ldl -lc
exec build/venv/bin/python tests/fleet/fleet.py "$build" "$@"
