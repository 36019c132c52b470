#!/bin/sh
# Installs the programs that the tests need and that are missing: as root on Debian and its derivatives with apt-get.
# Elsewhere it prints which packages to install. Does nothing if all programs are there.
set -eu

# need COMMAND PACKAGE
missing=
need() {
    command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}
need cargo cargo
need cmake cmake
need ctest cmake
need gcc gcc
need g++ g++
need clang clang
need clang++ clang
need make make
need ld binutils
need objcopy binutils
need valgrind valgrind
need abidiff abigail-tools
need abidw abigail-tools
need gdb gdb
need gcore gdb
need pkg-config pkg-config
need strace strace
need setpriv util-linux
need flock util-linux
need unshare util-linux
need openssl openssl
need age age
need gpg gnupg
need pass pass
need psql postgresql
[ -d /usr/lib/postgresql ] || need postgres postgresql
need redis-server redis-server
need redis-cli redis-tools
need etcd etcd-server
need etcdctl etcd-client
# For `make deb`, on Debian only.
if command -v apt-get >/dev/null 2>&1; then
    need dpkg-buildpackage dpkg-dev
    need dh debhelper
    need dh_python3 dh-python
    need lintian lintian
fi
[ -n "$missing" ] || exit 0

case $missing in
*cargo*)
    echo "cargo is missing: install Rust from https://rustup.rs" >&2
    exit 1
    ;;
esac
# shellcheck disable=SC2086
missing=$(printf '%s\n' $missing | sort -u | tr '\n' ' ')
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "the tests need these packages (by their names in Debian): $missing" >&2
    echo "install them and try again; as root on Debian, this script does it" >&2
    exit 1
fi
echo "installing: $missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $missing
