#!/bin/sh
# Builds and runs the C tests. Arguments are passed to ctest: sh tests/c/run.sh -R memory
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$root/build/tests-c
cargo=${CARGO:-cargo}
jobs=$(nproc)
unset MAKEFLAGS MAKELEVEL || true

for file in build/lib/libst_secrets.so build/lib/libst_secrets.a build/launcher; do
    [ -e "$root/$file" ] || { echo "$file is missing: run make first, or make test-c" >&2 && exit 1; }
done
cd "$root"
mkdir -p "$build"

# library DIRECTORY FEATURES ARGUMENT…: builds the library without optimization of our own code, which takes a quarter
# of the time, and with copies of the crates that `make test` has compiled, instead of compiling them again.
library() {
    directory=$1 features=command,$2
    shift 2
    if [ ! -d "$directory" ] && [ -d target/release ]; then
        rm -rf "$directory.new"
        mkdir -p "$directory.new/release"
        cp -a target/release/.fingerprint target/release/build target/release/deps "$directory.new/release"
        mv "$directory.new" "$directory"
    fi
    $cargo rustc --release --locked --features "$features" --lib --target-dir "$directory" \
        --config 'profile.release.package.st-secrets.opt-level=0' "$@"
    # The dynamic linker looks libraries up by their soname.
    ln -sf libst_secrets.so "$directory/release/libst_secrets.so.0"
}
echo "The library under AddressSanitizer, with an export that panics, and another Rust archive:"
RUSTC_WORKSPACE_WRAPPER=tests/c/unstable.sh library build/asan wiping-allocator \
    --config 'profile.release.package.st-secrets.debug-assertions=true' \
    --config 'profile.release.package.st-secrets.overflow-checks=true' \
    --config 'profile.release.package.st-secrets.debug="line-tables-only"' -- -Zsanitizer=address -Cstrip=none
library build/test-panic test-panic
$cargo build --release --manifest-path tests/c/other-archive/Cargo.toml --target-dir "$build/other-archive"

cmake -S tests/c -B "$build" -DASAN_LIB="$root/build/asan/release/libst_secrets.so" \
    -DSLOW_UNDER_VALGRIND="${SLOW_UNDER_VALGRIND:-OFF}" >"$build/configure.log" ||
    { cat "$build/configure.log" && exit 1; }
! grep "not tested" "$build/configure.log" || exit 1
cmake --build "$build" -j "$jobs" >"$build/build.log" || { cat "$build/build.log" && exit 1; }
ctest --test-dir "$build" --output-on-failure --no-tests=error -j "$jobs" "$@"
