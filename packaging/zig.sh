#!/bin/sh
# Installs what `make TARGET=…` builds with into build/zig: Zig as the C compiler and linker, cargo-zigbuild, and the
# standard library of Rust for the target.
#
# usage: zig.sh TARGET
set -eu
cd "$(dirname "$0")/.."
target=$1
pins="ziglang==0.13.0 cargo-zigbuild==0.24.1"
fail() {
    echo "$*" >&2
    exit 1
}

if [ "$(cat build/zig/pins 2>/dev/null)" != "$pins" ]; then
    rm -rf build/zig
    mkdir -p build
    python3 -m venv build/zig || fail "cannot create a virtual environment: install Python 3 with venv (Debian: python3-venv)"
    # shellcheck disable=SC2086
    build/zig/bin/python -m pip install --quiet --disable-pip-version-check $pins || fail "cannot install $pins (the message of pip is above)"
    echo "$pins" >build/zig/pins
fi
directory=$(rustc --print target-libdir --target "$target" 2>/dev/null) || fail "TARGET=$target is not a target of Rust, see: rustc --print target-list"
[ -d "$directory" ] || rustup target add "$target" || fail "Rust's standard library for $target is missing: rustup target add $target"
arch=${target%%-*}
[ "$arch" != "$(uname -m)" ] || exit 0
case $arch in
aarch64) libc=libc6-arm64-cross ;;
x86_64) libc=libc6-amd64-cross ;;
esac
# needs WHAT FOUND PACKAGE
needs() {
    [ -n "$2" ] || fail "$1 is missing: on Debian, install $3"
}
needs "$arch-linux-gnu-objcopy" "$(command -v "$arch-linux-gnu-objcopy")" "binutils-$(echo "$arch" | tr _ -)-linux-gnu"
needs "qemu-$arch" "$(command -v "qemu-$arch")" qemu-user
case $target in *-musl) exit 0 ;; esac
needs "the C library in /usr/$arch-linux-gnu" "$(ls "/usr/$arch-linux-gnu/lib" 2>/dev/null)" "$libc"
