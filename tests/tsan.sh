#!/bin/sh
# Runs the thread tests of the cache under ThreadSanitizer. The standard library is instrumented too, because the
# sanitizer does not see the synchronization in an uninstrumented one. That needs a nightly compiler and rust-src.
set -eu
cd "$(dirname "$0")/.."
toolchain=${ST_TEST_NIGHTLY:-nightly}
target_dir=build/tsan

sysroot=$(rustup run "$toolchain" rustc --print sysroot 2>/dev/null) || {
    echo "make tsan needs a nightly compiler: rustup toolchain install nightly --component rust-src" >&2
    exit 1
}
if [ ! -e "$sysroot/lib/rustlib/src/rust/library/Cargo.lock" ]; then
    rustup component add rust-src --toolchain "$toolchain" || {
        echo "make tsan needs the source of the standard library: rustup component add rust-src --toolchain $toolchain" >&2
        exit 1
    }
fi
target=$(rustup run "$toolchain" rustc --print host-tuple)

# Without optimization the tests take several times as long.
export CARGO_PROFILE_DEV_OPT_LEVEL=1
export RUSTFLAGS=-Zsanitizer=thread
# One test requests more memory than exists; the cache reports that as an error.
export TSAN_OPTIONS="halt_on_error=1 allocator_may_return_null=1 ${TSAN_OPTIONS:-}"
run() {
    rustup run "$toolchain" cargo test -Zbuild-std --locked --target "$target" --target-dir "$target_dir" "$@"
}
run --lib -- cache::
run --test cache_threads --test cache_turns --test cache_loads
