#!/bin/sh
# Kills a writer at each of its system calls in turn. The file must be the old or the new one, complete and 0600, and
# the next writer must succeed.
#
# usage: crash.sh SECRET
set -eu
secret=$1
. "$(dirname "$0")/common.sh"

# prepare DIRECTORY: creates the file as it is before the write, or none.
prepare() {
    rm -rf "$1"
    mkdir "$1"
    [ "$before" = none ] || cp -p "$before" "$1/s.$format"
}
# write DIRECTORY COMMAND…: runs the write with COMMAND.
write() {
    file=$1/s.$format
    shift
    case $what in
    delete) "$@" "$secret" "$file" delete HF_TOKEN ;;
    *) "$@" "$secret" "$file" set HF_TOKEN a-longer-token-than-before ;;
    esac
}

for format in json yaml; do
    for what in change create delete; do
        before=$work/before.$format
        document $format old >"$before"
        chmod 600 "$before"
        [ $what != create ] || before=none
        prepare "$work/whole"
        write "$work/whole" strace -o "$work/calls" >/dev/null
        after=$work/whole/s.$format
        first=$(grep -n '^getppid' "$work/calls" | sed -n '1s/:.*//p')
        last=$(grep -n '^getppid' "$work/calls" | sed -n '2s/:.*//p')
        [ "$((last - first))" -gt 12 ] || { cat "$work/calls" && fail "there are too few calls for a write"; }

        # Lists every call from the first marker to the second, as its name and the number of earlier calls of that
        # name.
        awk -v first="$first" -v last="$last" -F'(' '{ n[$1]++ } NR > first && NR <= last { print $1 " " n[$1] }' \
            "$work/calls" >"$work/list"
        old=0 new=0
        while read -r name number; do
            directory=$work/run
            prepare "$directory"
            code=0
            write "$directory" strace -o "$work/killed" -e "inject=$name:signal=SIGKILL:when=$number" >"$work/out" 2>&1 ||
                code=$?
            at="$format, $what, killed at $name number $number ($(tail -n 2 "$work/killed" | head -n 1))"
            grep -q 'killed by SIGKILL' "$work/killed" || fail "$at: it was not killed (exit code $code)"
            file=$directory/s.$format
            if [ -e "$file" ]; then
                [ "$(mode_of "$file")" = 600 ] || fail "$at: the mode is $(mode_of "$file")"
            fi
            if [ -e "$file" ] && cmp -s "$file" "$after"; then
                new=$((new + 1))
            elif [ "$before" = none ] && [ ! -e "$file" ]; then
                old=$((old + 1))
            elif [ "$before" != none ] && cmp -s "$file" "$before"; then
                old=$((old + 1))
            else
                fail "$at: the file is neither the old nor the new one: $(cat "$file" 2>&1)"
            fi
            for left in "$directory"/.s.*; do
                [ ! -e "$left" ] || [ "$(mode_of "$left")" = 600 ] || fail "$at: $left has mode $(mode_of "$left")"
            done
            write "$directory" env >"$work/out" 2>&1 || fail "$at: the next write failed: $(cat "$work/out")"
            cmp -s "$file" "$after" || fail "$at: the next write produced: $(cat "$file")"
            [ "$(mode_of "$file")" = 600 ] || fail "$at: the next write produced mode $(mode_of "$file")"
            [ ! -e "$directory/.s.$format.tmp" ] || fail "$at: the next write left its temporary file behind"
        done <"$work/list"
        # Both kinds of outcome occurred, so the kills hit the right calls.
        [ $old -gt 5 ] && [ $new -gt 0 ] || fail "$format, $what: $old times the old file, $new times the new one"
    done
done
