#!/bin/sh
# Puts the static archive of a build into prebuilt, from which the build tag st_secrets_prebuilt links it, with the
# header and the licences of the code of others.
#
# usage: archive.sh BUILD [TARGET]
set -eu
cd "$(dirname "$0")"
build=../../$1 target=${2:-}
case ${target:-$(uname -m)} in
x86_64*) directory=prebuilt/amd64 ;;
aarch64*) directory=prebuilt/arm64 ;;
*) echo "there is no archive for Go for ${target:-$(uname -m)}" >&2 && exit 1 ;;
esac
case $target in *-musl) directory=$directory-musl ;; esac
mkdir -p "$directory"
cp ../../include/st_secrets.h prebuilt/
cp "$build/lib/libst_secrets.a" "$directory/"
# shellcheck disable=SC2086
python3 ../../packaging/third_party.py licenses "$directory/THIRD-PARTY.txt" --features wiping-allocator ${target:+--target $target}
