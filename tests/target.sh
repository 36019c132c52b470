#!/bin/sh
# Tests what `make TARGET=…` has built: the libraries' symbols, the oldest glibc that they need, the C and C++ tests of
# the functions with both libraries, the example launcher, and the program. Another machine's programs run in QEMU.
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

# What is built here for this machine only, such as the libraries under AddressSanitizer, is not tested again.
cmake -S tests/c -B "$tests" -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR="$arch" -DCMAKE_C_COMPILER="$tests/cc" \
    -DCMAKE_CXX_COMPILER="$tests/c++" -DCMAKE_CROSSCOMPILING_EMULATOR="$(echo "$emulator" | tr ' ' ';')" \
    -DLIB_DIR="$build/lib" -DASAN_LIB=none -DPANIC_DIR=none -DOTHER_ARCHIVE=none >"$tests.log" || { cat "$tests.log" && exit 1; }
programs=$(cmake --build "$tests" --target help | sed -n 's/^\.\.\. \(.*\.\(shared\|static\)\)$/\1/p')
# shellcheck disable=SC2086
cmake --build "$tests" -j "$(nproc)" --target $programs >"$tests.log" || { cat "$tests.log" && exit 1; }
ctest --test-dir "$tests" --output-on-failure --no-tests=error -j "$(nproc)" -R '^api\.' -E 'valgrind|large_value'

# shellcheck disable=SC2086
[ "$(HF_TOKEN=hf_example $emulator "$build/bin/st-secrets" get HF_TOKEN)" = hf_example ]
# shellcheck disable=SC2086
HF_TOKEN=hf_example $emulator "$build/launcher" --from HF_TOKEN
echo "launcher, program: passed"
