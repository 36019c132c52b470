#!/bin/sh
# Checks that the Rust package contains the library and the files that build and install it, but no bindings, tests or
# benchmarks.
#
# usage: crate.sh ROOT
set -eu
cd "$1"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
${CARGO:-cargo} package --list --allow-dirty --offline >"$work/files" 2>"$work/log" || { cat "$work/log" && exit 1; }
if grep -Ev '^(src|include|examples|packaging)/|^\.cargo/config\.toml$|^docs/[^/]*\.(md|svg)$|^[^/]*$' "$work/files"; then
    echo "these files do not belong in the package" && exit 1
fi
for file in .cargo/config.toml src/lib.rs include/st_secrets.h packaging/exports.txt build.rs cbindgen.toml Makefile \
    README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE docs/providers.md docs/providers.svg SECURITY.md; do
    grep -qxF "$file" "$work/files" || { echo "$file is missing from the package" && exit 1; }
done
git ls-files src >"$work/sources"
grep '^src/' "$work/files" | sort | diff - "$work/sources" || { echo "some sources are not in the package" && exit 1; }
