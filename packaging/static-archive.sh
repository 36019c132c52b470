#!/bin/sh
# Creates the installed static archive: a single object whose only global symbols are the listed exports, so that it can
# be linked with other archives that contain Rust code.
#
# usage: static-archive.sh FROM.a TO.a EXPORTS.txt [UNWINDER.a]
# BINUTILS is the prefix of the tools: aarch64-linux-gnu-
#
# Without --force-group-allocation, the unwind tables of two such archives are mixed up, and a panic crashes.
# Without --strip-debug, the debug data of the standard library is more than a third of the archive.
# .llvmbc and .llvmcmd contain bitcode, which the link-time optimization of another compiler version rejects.
set -eu
from=$1 to=$2 exports=$3
shift 3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

undefined=$(sed 's/^/-u /' "$exports")
# shellcheck disable=SC2086
"${BINUTILS:-}ld" -r --gc-sections --force-group-allocation $undefined -o "$work/st_secrets.o" "$from" "$@"
"${BINUTILS:-}objcopy" --strip-debug --keep-global-symbols="$exports" -R .llvmbc -R .llvmcmd "$work/st_secrets.o"
rm -f "$to"
"${BINUTILS:-}ar" rcsD "$to" "$work/st_secrets.o"
