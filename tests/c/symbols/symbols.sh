#!/bin/sh
# Checks the libraries' exports, dependencies and names.
#
# usage: symbols.sh ROOT LIB_DIR     GLIBC_FLOOR overrides glibc-floor.txt
set -eu
export LC_ALL=C
root=$1 lib=$2
exports=$root/packaging/exports.txt
floor=${GLIBC_FLOOR:-$(cat "$root/tests/c/glibc-floor.txt")}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
fail() {
    echo "$*"
    failed=1
}
same() {
    diff -u "$exports" "$1" || fail "$2 differs from packaging/exports.txt"
}

sort -c "$exports"
# In the header, the name of a function is the first one followed by a parenthesis, outside of comments and types.
sed -n 's/^[a-z].*[ *]\(st_[a-z_0-9]*\)(.*/\1/p' "$root/include/st_secrets.h" | sort >"$work/header"
same "$work/header" "the list of functions in the header"
nm -D --defined-only "$lib/libst_secrets.so" | sed 's/.* //' | sort >"$work/so"
same "$work/so" "the list of symbols of the shared library"
nm -g --defined-only "$lib/libst_secrets.a" | sed -n 's/^[0-9a-f]* [A-Z] //p' | sort >"$work/a"
same "$work/a" "the list of global symbols of the static archive"

size=$(stat -L -c %s "$lib/libst_secrets.so.0")
[ "$size" -le 7340032 ] || fail "the shared library has $size bytes; it may have 7 MiB"
dynamic=$(readelf -dW "$lib/libst_secrets.so")
echo "$dynamic" | grep -q 'SONAME.*\[libst_secrets\.so\.0\]' || fail "the soname is not libst_secrets.so.0"
echo "$dynamic" | grep -q 'FLAGS_1.*NODELETE' || fail "the shared library is not marked NODELETE"
echo "$dynamic" | grep -q 'FLAGS_1.*NOW' || fail "the shared library is not bound when loaded"
# Up to this size, glibc places the thread-local variables of a library that is loaded with dlopen where they are read
# without a call: see src/sys/thread_words.rs.
tls=$(readelf -lW "$lib/libst_secrets.so" | awk '$1 == "TLS" { print $6 }')
[ $((tls)) -le 512 ] || fail "the thread-local variables take $((tls)) bytes; they may take 512 at most"
# Only the system's own libraries. Before glibc 2.34, threads and dlopen have one each.
others=$(echo "$dynamic" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' |
    grep -Ev '^(libc\.so\.6|libm\.so\.6|libgcc_s\.so\.1|libpthread\.so\.0|libdl\.so\.2|libc\.so|ld-linux.*)$' || true)
[ -z "$others" ] || fail "the shared library needs $others"

# musl has no versions of its symbols.
! echo "$dynamic" | grep -q 'NEEDED.*\[libc\.so\]' || exit $failed
needed=$(readelf -VW "$lib/libst_secrets.so" | sed -n 's/.*Name: GLIBC_\([0-9.]*\).*/\1/p' | sort -V | tail -n 1)
[ -n "$needed" ] || fail "no GLIBC version was found"
highest=$(printf '%s\n' "$needed" "$floor" | sort -V | tail -n 1)
[ "$highest" = "$floor" ] || fail "the shared library needs GLIBC_$needed; it may need $floor"
exit $failed
