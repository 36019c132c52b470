#!/bin/sh
# Installs the Debian packages of build/dist, which `make deb` builds, and checks that everything works: over the files
# of this machine, in an overlay that is removed at the end, or in the Debian in DIRECTORY, which debootstrap has made
# and which is changed. Runs in a mount namespace of its own; needs root.
#
# usage: deb.sh [DIRECTORY]
set -eu
cd "$(dirname "$0")/../.."
if [ "${ST_TEST_UNSHARED:-}" != yes ]; then
    [ "$(id -u)" -eq 0 ] || { echo "the Debian packages are not tested: that needs root" && exit 0; }
    command -v apt-get >/dev/null || { echo "the Debian packages are not tested: this is not Debian" && exit 0; }
    ST_TEST_UNSHARED=yes exec unshare --mount sh "$0" "$@"
fi
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
architecture=$(dpkg --print-architecture)
work=$(mktemp -d)
trap 'umount -R "$work" 2>/dev/null; rm -rf "$work"' EXIT
root=${1:-$work/root}
if [ $# -eq 0 ]; then
    # Another overlay cannot be the upper part, and /tmp may be one.
    mount -t tmpfs none "$work"
    mkdir "$work/upper" "$work/scratch" "$root"
    mount -t overlay overlay -o "lowerdir=/,upperdir=$work/upper,workdir=$work/scratch" "$root"
fi
mount -t proc none "$root/proc"
mount --bind /dev "$root/dev"
# Of a run before.
rm -rf "$root/opt/st-test"
mkdir -p "$root/opt/st-test"
for name in libst-secrets0 libst-secrets-dev st-secrets python3-st-secrets; do
    cp "build/dist/${name}_${version}_$architecture.deb" "$root/opt/st-test/"
done
cp tests/c/install/consumer/main.c tests/packaging/system.sh "$root/opt/st-test/"

# Nothing of this machine's environment, such as another Python on PATH.
if ! env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 ST_TEST_VERSION="$version" \
    chroot "$root" sh /opt/st-test/system.sh >"$work.log" 2>&1; then
    cat "$work.log"
    rm -f "$work.log"
    exit 1
fi
rm -f "$work.log"
echo "Debian packages: passed"
