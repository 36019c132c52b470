#!/bin/sh
# Two processes write three hundred secrets each to the same file: none is lost.
#
# usage: two_writers.sh SECRET
set -eu
secret=$1
. "$(dirname "$0")/common.sh"

for format in json yaml; do
    file=$work/s.$format
    document $format x >"$file"
    chmod 600 "$file"
    # Each waits for the other before every write, and succeeds however long the writes take.
    "$secret" "$file" set-many left 300 &
    left=$!
    "$secret" "$file" set-many right 300 &
    right=$!
    failed=
    wait $left || failed=left
    wait $right || failed="$failed right"
    [ -z "$failed" ] || fail "these writers failed: $failed"
    gives "" "$secret" "$file" verify-many left 300
    gives "" "$secret" "$file" verify-many right 300
    gives one "$secret" "$file" get A
    gives x "$secret" "$file" get HF_TOKEN
    [ "$(mode_of "$file")" = 600 ] || fail "the mode of $file is $(mode_of "$file")"
    [ ! -e "$work/.s.$format.tmp" ] || fail "a temporary file was left behind"
done
