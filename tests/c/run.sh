#!/bin/sh
# Builds and runs the C tests. Arguments are passed to ctest: sh tests/c/run.sh -R memory
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$root/build/tests-c
cargo=${CARGO:-cargo}
jobs=$(nproc)
target=$(rustc -vV | sed -n 's/^host: //p')
unset MAKEFLAGS MAKELEVEL || true

for file in build/lib/libst_secrets.so build/lib/libst_secrets.a build/launcher; do
    [ -e "$root/$file" ] || { echo "$file is missing: run make first, or make test-c" >&2 && exit 1; }
done
cd "$root"
mkdir -p "$build"

echo "The library under AddressSanitizer, with an export that panics, and another Rust archive:"
# RUSTC_BOOTSTRAP lets a stable compiler use the sanitizer, which is a nightly option.
RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address $cargo build --locked --features wiping-allocator --target "$target" \
    --target-dir build/asan
# With copies of the crates that `make test` has compiled, instead of compiling them again, and with our own compiled
# without optimization, which takes a quarter of the time.
if [ ! -d build/test-panic ] && [ -d target/release ]; then
    rm -rf build/test-panic.new
    mkdir -p build/test-panic.new/release
    cp -a target/release/.fingerprint target/release/build target/release/deps build/test-panic.new/release
    mv build/test-panic.new build/test-panic
fi
$cargo build --release --locked --features command,test-panic --lib --target-dir build/test-panic \
    --config 'profile.release.package.st-secrets.opt-level=0'
$cargo build --release --manifest-path tests/c/other-archive/Cargo.toml --target-dir "$build/other-archive"

# The dynamic linker looks libraries up by their soname.
ln -sf libst_secrets.so "build/asan/$target/debug/libst_secrets.so.0"
ln -sf libst_secrets.so build/test-panic/release/libst_secrets.so.0

cmake -S tests/c -B "$build" -DASAN_LIB="$root/build/asan/$target/debug/libst_secrets.so" \
    -DSLOW_UNDER_VALGRIND="${SLOW_UNDER_VALGRIND:-OFF}" >"$build/configure.log" ||
    { cat "$build/configure.log" && exit 1; }
! grep "not tested" "$build/configure.log" || exit 1
cmake --build "$build" -j "$jobs" >"$build/build.log" || { cat "$build/build.log" && exit 1; }
ctest --test-dir "$build" --output-on-failure --no-tests=error -j "$jobs" "$@"
