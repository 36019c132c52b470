#!/bin/sh
# `make release` refuses a target without a standard library, and changes that are not committed, and names the remedy.
# Nothing is built.
set -eu
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset MAKEFLAGS MAKELEVEL || true

# refused MESSAGE TARGET…
refused() {
    message=$1
    shift
    if sh "$root/packaging/release.sh" 0.0.0 "$@" >"$work/log" 2>&1 || ! grep -qF "$message" "$work/log"; then
        cat "$work/log"
        echo "make release did not say: $message"
        exit 1
    fi
}

root=$PWD
refused "rustup target add s390x-unknown-linux-gnu" x86_64-unknown-linux-gnu s390x-unknown-linux-gnu
refused "pdp11 is not a target of Rust" pdp11

root=$work/copy
git clone --quiet --shared . "$root"
cp packaging/release.sh "$root/packaging/"
echo >>"$root/README.md"
refused "the working tree has changes"
echo "release: passed"
