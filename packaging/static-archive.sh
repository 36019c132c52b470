#!/bin/sh
# Makes the static archive that is installed: one object whose only global symbols are the listed exports, so that it
# links beside other archives with Rust in them.
#
# usage: static-archive.sh FROM.a TO.a EXPORTS.txt
#
# --force-group-allocation: without it, the unwind tables of two such archives get mixed up, and a panic crashes.
# .llvmbc and .llvmcmd: bitcode that another compiler's link-time optimisation would trip over.
set -eu
from=$1 to=$2 exports=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

undefined=$(sed 's/^/-u /' "$exports")
# shellcheck disable=SC2086
ld -r --gc-sections --force-group-allocation $undefined -o "$work/st_secrets.o" "$from"
objcopy --keep-global-symbols="$exports" -R .llvmbc -R .llvmcmd "$work/st_secrets.o"
rm -f "$to"
ar rcsD "$to" "$work/st_secrets.o"
