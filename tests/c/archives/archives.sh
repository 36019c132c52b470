#!/bin/sh
# Checks that the static archive, built as for installation but with st_test_panic, can be linked with another Rust
# archive in both orders, and that both survive their panics.
#
# usage: archives.sh ROOT RAW_ARCHIVE OTHER_ARCHIVE C_COMPILER
set -eu
root=$1 raw=$2 other=$3 cc=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ours=$work/libst_secrets.a
libraries=$(sed -n 's/^STATIC_LIBS := //p' "$root/Makefile")

{ cat "$root/packaging/exports.txt" && echo st_test_panic; } >"$work/exports.txt"
"$root/packaging/static-archive.sh" "$raw" "$ours" "$work/exports.txt"
"$cc" -D_GNU_SOURCE -O1 -Wall -Wextra -I"$root/include" -I"$root/tests/c" -c -o "$work/main.o" \
    "$root/tests/c/archives/main.c"

for order in "$ours $other" "$other $ours"; do
    # shellcheck disable=SC2086
    "$cc" -o "$work/both" "$work/main.o" $order $libraries
    for first in "" other; do
        # shellcheck disable=SC2086
        output=$("$work/both" $first 2>"$work/errors") || {
            echo "linked as $order, started with '$first': it failed: $output" && cat "$work/errors" && exit 1
        }
        [ "$output" = survived ]
        # The other archive prints its own panics; ours must not.
        if grep -q CANARY "$work/errors"; then
            echo "our panic was printed:" && cat "$work/errors" && exit 1
        fi
    done
done
