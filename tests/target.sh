#!/bin/sh
# Tests what `make TARGET=…` has built: the libraries' symbols, the oldest glibc that they need, the C and C++ tests of
# the functions with both libraries, the example launcher, and the program. Another machine's programs run in QEMU.
# With musl, programs with the static archive are static; those with the shared library run where musl is installed.
#
# usage: target.sh TARGET ARCH CC CXX EMULATOR
set -eu
cd "$(dirname "$0")/.."
root=$PWD target=$1 arch=$2 cc=$3 cxx=$4 emulator=$5
[ -n "$target" ] || { echo "usage: make test-target TARGET=aarch64-unknown-linux-gnu" >&2 && exit 1; }
build=$root/build/$target
tests=$build/tests-c
sh tests/python-tools.sh

# CMake takes a compiler with at most one argument.
mkdir -p "$tests"
printf '#!/bin/sh\nexec %s "$@"\n' "$cc" >"$tests/cc"
printf '#!/bin/sh\nexec %s "$@"\n' "$cxx" >"$tests/c++"
chmod +x "$tests/cc" "$tests/c++"

GLIBC_FLOOR=2.28 sh tests/c/symbols/symbols.sh "$root" "$build/lib"
echo "symbols: passed"

# test_functions DIRECTORY KINDS LINKER_FLAGS: builds and runs the tests with these kinds of the library.
# What is built here for this machine only, such as the libraries under AddressSanitizer, is not tested again.
test_functions() {
    cmake -S tests/c -B "$1" -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR="$arch" -DCMAKE_C_COMPILER="$tests/cc" \
        -DCMAKE_CXX_COMPILER="$tests/c++" -DCMAKE_CROSSCOMPILING_EMULATOR="$(echo "$emulator" | tr ' ' ';')" \
        -DCMAKE_EXE_LINKER_FLAGS="$3" -DLIB_DIR="$build/lib" -DASAN_LIB=none -DPANIC_DIR=none -DOTHER_ARCHIVE=none \
        >"$1.log" || { cat "$1.log" && exit 1; }
    programs=$(cmake --build "$1" --target help | sed -n "s/^\.\.\. \(.*\.\($2\)\)\$/\1/p")
    # shellcheck disable=SC2086
    cmake --build "$1" -j "$(nproc)" --target $programs >"$1.log" || { cat "$1.log" && exit 1; }
    ctest --test-dir "$1" --output-on-failure --no-tests=error -j "$(nproc)" -R "^api\\..*\\.($(echo "$2" | tr -d "\\\\"))\$|$4"
}
case $target in
*-musl)
    test_functions "$tests" static "" "^$"
    if [ -e "/lib/ld-musl-$arch.so.1" ]; then
        test_functions "$tests-shared" shared -dynamic every_export
    elif [ "$arch" = "$(uname -m)" ]; then
        echo "musl is missing, which the tests of the shared library need: on Debian, install musl" >&2
        exit 1
    else
        echo "the shared library was not run: there is no musl for $arch in /lib"
    fi
    for program in "$build/launcher" "$build/bin/st-secrets"; do
        ! readelf -lW "$program" | grep INTERP || { echo "$program is not static" >&2 && exit 1; }
    done
    ;;
*) test_functions "$tests" 'shared\|static' "" every_export ;;
esac

# shellcheck disable=SC2086
[ "$(HF_TOKEN=hf_example $emulator "$build/bin/st-secrets" get HF_TOKEN)" = hf_example ]
# shellcheck disable=SC2086
HF_TOKEN=hf_example $emulator "$build/launcher" --from HF_TOKEN
echo "launcher, program: passed"
