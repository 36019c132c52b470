#!/bin/sh
# Builds and runs the C++ tests with g++ and clang++. Arguments are passed to ctest: sh tests/cpp/run.sh -R cache
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
jobs=$(nproc)
unset MAKEFLAGS MAKELEVEL || true
cd "$root"
for file in build/lib/libst_secrets.so build/lib/libst_secrets.a; do
    [ -e "$file" ] || { echo "$file is missing: run make first, or make test-cpp" >&2 && exit 1; }
done

# run C_COMPILER C++_COMPILER STANDARD VARIANTS [CTEST_ARGUMENT…]
run() {
    build=build/tests-cpp/$2
    mkdir -p "$build"
    echo "$2, C++$3:"
    cmake -S tests/cpp -B "$build" -DCMAKE_C_COMPILER="$1" -DCMAKE_CXX_COMPILER="$2" -DCMAKE_CXX_STANDARD="$3" \
        -DVARIANTS="$4" -DSLOW_UNDER_VALGRIND="${SLOW_UNDER_VALGRIND:-OFF}" >"$build/configure.log" ||
        { cat "$build/configure.log" && exit 1; }
    ! grep "not tested" "$build/configure.log" || exit 1
    cmake --build "$build" -j "$jobs" >"$build/build.log" 2>&1 || { cat "$build/build.log" && exit 1; }
    shift 4
    ctest --test-dir "$build" --output-on-failure --no-tests=error -j "$jobs" "$@"
}
run gcc g++ 17 "shared;static;sanitized;valgrind" "$@"
run clang clang++ 20 shared "$@"
