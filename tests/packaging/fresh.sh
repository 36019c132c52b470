#!/bin/sh
# Installs the artefacts of `make release` into an empty system, in DIRECTORY, and gets a first secret in each language
# that the system has: of debootstrap, or of musl and busybox. Node, Go or Python may be in DIRECTORY/opt/NAME/bin.
# Changes the system; another machine's runs in QEMU, registered with the kernel (binfmt_misc). Needs root, for a mount
# namespace of its own.
#
# usage: fresh.sh DIRECTORY [RELEASE]
set -eu
cd "$(dirname "$0")/../.."
if [ "${ST_TEST_UNSHARED:-}" != yes ]; then
    [ "$(id -u)" -eq 0 ] || { echo "fresh.sh needs root" >&2 && exit 1; }
    ST_TEST_UNSHARED=yes exec unshare --mount sh "$0" "$@"
fi
root=$1 release=${2:-build/release}
place=$root/opt/st-fresh
rm -rf "$place"
mkdir -p "$place/go-proxy" "$root/proc" "$root/dev" "$root/tmp"
mount -t proc none "$root/proc"
mount --bind /dev "$root/dev"
cp "$release"/*-linux-*.tar.gz "$release"/*.whl "$release"/*.tgz "$place/"
cp -r "$release/go/." "$place/go-proxy/"
cp -r tests/packaging/languages.sh tests/c/install/consumer examples/go/main.go "$place/"
# first LANGUAGE FILE: the first program of a document.
first() {
    awk -v fence="\`\`\`$1" '$0 == fence {on = 1; next} /^```/ && on {exit} on' "$2"
}
first c README.md >"$place/app.c"
first cpp bindings/cpp/README.md >"$place/app.cpp"

path=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
for directory in "$root"/opt/*/bin; do
    [ ! -d "$directory" ] || path=${directory#"$root"}:$path
done
# Nothing of this machine's environment.
env -i PATH="$path" HOME=/root LC_ALL=C.UTF-8 chroot "$root" sh /opt/st-fresh/languages.sh
echo "fresh system in $root: passed"
