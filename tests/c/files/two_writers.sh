#!/bin/sh
# Two processes write a thousand secrets each into one file: none is lost.
#
# usage: two_writers.sh SECRET
set -eu
secret=$1
. "$(dirname "$0")/common.sh"

for format in json yaml; do
    file=$work/s.$format
    document $format x >"$file"
    chmod 600 "$file"
    "$secret" "$file" set-many left 1000 &
    left=$!
    "$secret" "$file" set-many right 1000 &
    right=$!
    failed=
    wait $left || failed=left
    wait $right || failed="$failed right"
    [ -z "$failed" ] || fail "these writers failed: $failed"
    gives "" "$secret" "$file" verify-many left 1000
    gives "" "$secret" "$file" verify-many right 1000
    gives one "$secret" "$file" get A
    gives x "$secret" "$file" get HF_TOKEN
    [ "$(mode_of "$file")" = 600 ] || fail "the mode of $file is $(mode_of "$file")"
    [ ! -e "$work/.s.$format.tmp" ] || fail "a temporary file was left behind"
done
