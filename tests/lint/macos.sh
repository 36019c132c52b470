#!/bin/sh
# Checks that the library and the program compile for macOS, where Rust's standard library for it is installed, and Zig,
# the C compiler for the crates that have C, which `make TARGET=…` installs. Nothing is linked or run.
set -eu
cd "$(dirname "$0")/../.."
# cargo-zigbuild leaves it here.
trap 'rm -f .intentionally-empty-file.o' EXIT
for target in aarch64-apple-darwin x86_64-apple-darwin; do
    if [ ! -d "$(rustc --print target-libdir --target $target)" ]; then
        echo "not checked for macOS: $target, which needs: rustup target add $target"
        continue
    fi
    if [ ! -x build/zig/bin/cargo-zigbuild ]; then
        echo "not checked for macOS: $target, which needs Zig: sh packaging/zig.sh $(uname -m)-unknown-linux-gnu"
        continue
    fi
    PATH=$PWD/build/zig/bin:$PATH
    cargo-zigbuild clippy --quiet --locked --lib --target $target -- -D warnings
    cargo-zigbuild clippy --quiet --locked --features command --bin st-secrets --target $target -- -D warnings
done
