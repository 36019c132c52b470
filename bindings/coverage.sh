#!/bin/sh
# Checks that each binding calls each function that the library exports (packaging/exports.txt). Functions that a
# binding leaves out are listed in its left-out.txt, one per line: `function: reason`.
#
# usage: coverage.sh [BINDING…] (default: all)
set -eu
cd "$(dirname "$0")/.."

# Prints the source files of a binding that call the library.
sources() {
    case $1 in
    cpp) find include -name '*.hpp' ;;
    *) find "bindings/$1" \( -name node_modules -o -name build -o -name tests -o -name test \) -prune -o \
        \( -name '*.c' -o -name '*.h' -o -name '*.go' \) ! -name '*_test.go' ! -name st_secrets.h -print ;;
    esac
}

without_comments() {
    cat "$@" | sed 's://.*::' | tr '\n' ' ' | sed 's:/\*[^*]*\*\**\([^/*][^*]*\*\**\)*/: :g'
}

if [ $# -eq 0 ]; then
    [ ! -e include/st_secrets.hpp ] || set -- cpp
    for directory in bindings/*/; do
        directory=$(basename "$directory")
        [ "$directory" = cpp ] || set -- "$@" "$directory"
    done
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sort packaging/exports.txt >"$work/exports"
failed=0
for binding; do
    left_out=bindings/$binding/left-out.txt
    [ -e "$left_out" ] || : >"$work/none"
    [ -e "$left_out" ] || left_out=$work/none
    if grep -nEv '^(#.*|st_[a-z_]+: .+)?$' "$left_out"; then
        echo "$left_out: these lines are not of the form \`function: reason\`" >&2
        failed=1
    fi
    sed -n 's/^\(st_[a-z_]*\): .*/\1/p' "$left_out" | sort >"$work/left-out"
    files=$(sources "$binding")
    [ -n "$files" ] || { echo "$binding: no sources were found" >&2; exit 1; }
    # shellcheck disable=SC2086
    without_comments $files | grep -oE '\bst_[a-z_]+' | sort -u >"$work/called"
    sort -u "$work/called" "$work/left-out" | comm -23 "$work/exports" - | sed "s/^/$binding: neither called nor left out: /" \
        >"$work/wrong"
    comm -12 "$work/called" "$work/left-out" | sed "s/^/$binding: left out, but called: /" >>"$work/wrong"
    comm -23 "$work/left-out" "$work/exports" | sed "s/^/$binding: left out, but not exported by the library: /" >>"$work/wrong"
    if [ -s "$work/wrong" ]; then
        cat "$work/wrong" >&2
        failed=1
    else
        echo "$binding: $(comm -12 "$work/exports" "$work/called" | wc -l) functions covered, $(wc -l <"$work/left-out") left out"
    fi
done
exit $failed
