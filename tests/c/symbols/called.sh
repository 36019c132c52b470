#!/bin/sh
# Checks that each exported function is called by at least one of these programs.
#
# usage: called.sh EXPORTS.txt PROGRAM…
set -eu
exports=$1
shift
called=$(nm -D --undefined-only "$@" | sed -n 's/^ *U \(st_[a-z_]*\).*/\1/p' | sort -u)
missing=$(echo "$called" | comm -13 - "$exports")
if [ -n "$missing" ]; then
    echo "no test calls: $(printf '%s' "$missing" | tr '\n' ' ')"
    exit 1
fi
