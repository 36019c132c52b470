#!/bin/sh
# Builds the Debian packages libst-secrets0, libst-secrets-dev, st-secrets and python3-st-secrets from what make has
# built, for the distribution of this machine or, with TARGET, for all with the glibc for which Zig links, and checks
# them with lintian. The packages are reproducible: SOURCE_DATE_EPOCH is the time in them.
#
# usage: deb.sh VERSION TO [TARGET]
set -eu
cd "$(dirname "$0")/.."
root=$PWD version=$1 to=$2 target=${3:-}
case $target in
'') architecture=$(dpkg --print-architecture) ;;
x86_64-*) architecture=amd64 ;;
aarch64-*) architecture=arm64 ;;
esac
for pair in dpkg-buildpackage:dpkg-dev dh:debhelper dh_python3:dh-python lintian:lintian; do
    command -v "${pair%:*}" >/dev/null || { echo "${pair%:*} is missing: on Debian, install ${pair#*:}" >&2 && exit 1; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-0}
export SOURCE_DATE_EPOCH SOURCE="$root" TARGET="$target"

tree=$work/st-secrets-$version
mkdir "$tree"
cp -r packaging/debian "$tree/debian"
# shellcheck disable=SC2086
python3 packaging/third_party.py licenses "$tree/debian/THIRD-PARTY.txt" ${target:+--target $target}
cat >"$tree/debian/changelog" <<END
st-secrets ($version) unstable; urgency=medium

  * Release $version. The changes are in CHANGELOG.md of the sources.

 -- $(sed -n 's/^Maintainer: //p' packaging/debian/control)  $(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")
END
# The text of the licence, in the form of the file: one blank more, and a full stop for an empty line.
terms=$(sed -n '/^Permission/,$p' LICENSE-MIT | sed 's/^$/./; s/^/ /' | sed 's/[&\\]/\\&/g; s/$/\\/')
sed "s|^@EXPAT@\$|${terms%\\}|" packaging/debian/copyright >"$tree/debian/copyright"
{
    printf "%s\n" "libst_secrets.so.0 libst-secrets0 #MINVER#" "* Build-Depends-Package: libst-secrets-dev"
    sed "s/.*/ &@Base $version/" packaging/exports.txt
} >"$tree/debian/libst-secrets0.symbols"

# Rust comes from rustup, of which dpkg does not know.
(cd "$tree" && dpkg-buildpackage --build=binary --no-sign --no-check-builddeps --host-arch="$architecture") \
    >"$work/log" 2>&1 || { cat "$work/log" >&2 && exit 1; }
(cd "$work" && lintian --fail-on error,warning -- *.changes) >"$work/log" || { cat "$work/log" >&2 && exit 1; }
mkdir -p "$to"
for package in "$work"/*.deb; do
    mv "$package" "$to/"
    echo "$to/${package##*/}"
done
