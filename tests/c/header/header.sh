#!/bin/sh
# Checks that the header compiles alone and twice, in every version of C and C++, with all warnings as errors.
#
# usage: header.sh INCLUDE_DIR C_COMPILER C++_COMPILER
set -eu
include=$1
here=$(cd "$(dirname "$0")" && pwd)
warnings="-Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wundef -Werror"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

compile() {
    # shellcheck disable=SC2086
    "$@" $warnings -I"$include" -c -o "$work/out.o" || {
        echo "failed: $*"
        failed=1
    }
}
all() {
    for standard in c99 c11 c17 c2x gnu11; do
        compile "$1" -xc -std=$standard "$here/use.c"
        compile "$1" -xc -std=$standard -Wmissing-prototypes -Wstrict-prototypes "$include/st_secrets.h"
    done
    for standard in c++11 c++14 c++17 c++20 c++2b; do
        compile "$2" -xc++ -std=$standard "$here/use.c"
        compile "$2" -xc++ -std=$standard "$include/st_secrets.h"
    done
}
all "$2" "$3"
if command -v clang >/dev/null && command -v clang++ >/dev/null; then
    all clang clang++
fi

# The check itself detects a header that does not compile, and a warning.
echo 'int st_version(void) { return (char)0 }' >"$work/broken.c"
printf '#include "st_secrets.h"\nstatic int unused;\n' >"$work/warning.c"
for source in broken warning; do
    # shellcheck disable=SC2086
    if "$2" -xc -std=c99 $warnings -I"$include" -c -o "$work/out.o" "$work/$source.c" 2>/dev/null; then
        echo "$source.c was not rejected"
        failed=1
    fi
done
exit $failed
