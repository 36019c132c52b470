#!/bin/sh
# Packs the installed tree, the licences, those of the code of others included, and the documents with all files they
# link to into TO/st_secrets-VERSION-SYSTEM.tar.gz, which may be unpacked anywhere. The tarball is reproducible.
#
# usage: dist.sh VERSION TO SYSTEM [TARGET]     a system such as linux-x86_64, linux-musl-aarch64
set -eu
cd "$(dirname "$0")/.."
version=$1 to=$2 system=$3 target=${4:-}
name=st_secrets-$version-$system
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022

"${MAKE:-make}" -s install PREFIX="/$name" DESTDIR="$work" >/dev/null
install -m 644 LICENSE-MIT LICENSE-APACHE README.md ARCHITECTURE.md CHANGELOG.md CONTRIBUTING.md RELEASING.md SECURITY.md \
    "$work/$name/"
for file in docs/*.md docs/*.svg bindings/*/README.md examples/launcher.c examples/cpp/service.cpp; do
    install -D -m 644 "$file" "$work/$name/$file"
done
# shellcheck disable=SC2086
python3 packaging/third_party.py licenses "$work/$name/THIRD-PARTY.txt" ${target:+--target $target}
mkdir -p "$to"
tar -C "$work" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@${SOURCE_DATE_EPOCH:-0}" -cf "$work/$name.tar" "$name"
gzip -n -c "$work/$name.tar" >"$work/$name.tar.gz"
mv "$work/$name.tar.gz" "$to/"
echo "$to/$name.tar.gz"
