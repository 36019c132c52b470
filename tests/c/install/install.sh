#!/bin/sh
# Checks `make install` into a directory that is then moved, and the tarball of `make dist` unpacked elsewhere: both
# contain the right files and no path of this machine, and programs build with them.
#
# usage: install.sh ROOT C_COMPILER C++_COMPILER
set -eu
root=$1 cc=$2 cxx=$3
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset MAKEFLAGS MAKELEVEL || true
umask 022
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml" | head -n 1)

# same_files TREE: compares the list of files; the parts of the C++ header and the man pages are checked separately.
same_files() {
    (cd "$1" && find . \( -type f -o -type l \) ! -path './include/st_secrets/*' ! -path './share/man/*' | sort) >"$work/files"
    diff - "$work/files" || { echo "the list of files of $1 differs" && exit 1; }
    diff -r "$root/include/st_secrets" "$1/include/st_secrets"
    rm -rf "$work/man" && mkdir "$work/man"
    "$1/bin/st-secrets" man "$work/man"
    [ -e "$work/man/st-secrets-run.1" ]
    diff -r "$work/man" "$1/share/man/man1"
}

# `make help` lists the targets, and they exist.
targets=$(make -s -C "$root" help | sed -n 's/^make \([a-z][a-z-]*\).*/\1/p')
for target in install test wheel header $targets; do
    printf '%s\n' "$targets" | grep -qx -- "$target" || { echo "make help does not list $target" && exit 1; }
    make -s -n -C "$root" "$target" >"$work/log" 2>&1 || { cat "$work/log" && exit 1; }
done

make -s -C "$root" install PREFIX=/opt/st DESTDIR="$work/stage" >"$work/log" 2>&1 || { cat "$work/log" && exit 1; }
mkdir "$work/moved"
moved=$work/moved/tree
mv "$work/stage/opt/st" "$moved"
rmdir "$work/stage/opt" "$work/stage" || { echo "files were installed outside of the prefix" && exit 1; }
if grep -rIl -e "$work/stage" -e /opt/st -e "$root" -e '@[A-Z_]*@' "$moved"; then
    echo "these files contain the installation directory or placeholders" && exit 1
fi
same_files "$moved" <<'LIST'
./bin/st-secrets
./include/st_secrets.h
./include/st_secrets.hpp
./lib/cmake/st_secrets/st_secretsConfig.cmake
./lib/cmake/st_secrets/st_secretsConfigVersion.cmake
./lib/libst_secrets.a
./lib/libst_secrets.so
./lib/libst_secrets.so.0
./lib/libst_secrets.so.0.1.0
./lib/pkgconfig/st_secrets.pc
./share/bash-completion/completions/st-secrets
./share/fish/vendor_completions.d/st-secrets.fish
./share/licenses/st-secrets/LICENSE-APACHE
./share/licenses/st-secrets/LICENSE-MIT
./share/zsh/site-functions/_st-secrets
LIST
sh "$here/tree.sh" "$moved" "$version" "$cc" "$cxx"

# Another directory for the libraries, which may be absolute; and everything is removed again.
for libdir in lib/multi/arch /opt/st/lib/multi/arch; do
    make -s -C "$root" install PREFIX=/opt/st LIBDIR=$libdir DESTDIR="$work/other" >"$work/log" 2>&1 ||
        { cat "$work/log" && exit 1; }
    [ "$(PKG_CONFIG_LIBDIR=$work/other/opt/st/lib/multi/arch/pkgconfig pkg-config --variable=libdir st_secrets |
        xargs realpath)" = "$(realpath "$work/other/opt/st/lib/multi/arch")" ]
    sh "$here/cmake.sh" "$work/other/opt/st" "$cc" "$cxx"
    make -s -C "$root" uninstall PREFIX=/opt/st LIBDIR=$libdir DESTDIR="$work/other" >"$work/log" 2>&1
    if find "$work/other" ! -type d | grep .; then echo "make uninstall has left these files" && exit 1; fi
done
if make -s -C "$root" install PREFIX=/opt/st LIBDIR=/usr/lib DESTDIR="$work/other" >"$work/log" 2>&1 ||
    ! grep -q 'LIBDIR=/usr/lib is not below PREFIX=/opt/st' "$work/log"; then
    cat "$work/log" && echo "a LIBDIR outside of the prefix was accepted" && exit 1
fi

sh "$here/subdirectory.sh" "$root" "$cc" "$cxx"

make -s -C "$root" dist >"$work/log" 2>&1 || { cat "$work/log" && exit 1; }
name=st_secrets-$version-linux-$(uname -m)
mkdir "$work/unpacked"
tar -C "$work/unpacked" -xzf "$root/build/dist/$name.tar.gz"
[ "$(ls "$work/unpacked")" = "$name" ] || { echo "the tarball contains more than the directory $name" && exit 1; }
same_files "$work/unpacked/$name" <<'LIST'
./ARCHITECTURE.md
./CHANGELOG.md
./CONTRIBUTING.md
./LICENSE-APACHE
./LICENSE-MIT
./README.md
./RELEASING.md
./SECURITY.md
./THIRD-PARTY.txt
./bin/st-secrets
./bindings/cpp/README.md
./bindings/go/README.md
./bindings/node/README.md
./bindings/python/README.md
./docs/audit.md
./docs/aws.md
./docs/azure.md
./docs/bench-cache.svg
./docs/cache.md
./docs/changes.md
./docs/cluster.md
./docs/command.md
./docs/dependencies.md
./docs/deployment.md
./docs/encryption.md
./docs/errors.md
./docs/exec.md
./docs/faq.md
./docs/fleet.md
./docs/fleet.svg
./docs/google.md
./docs/infisical.md
./docs/kubernetes.md
./docs/linking.md
./docs/metrics.md
./docs/onepassword.md
./docs/packages.md
./docs/providers.md
./docs/providers.svg
./docs/redaction.md
./docs/share.md
./docs/simpletuner.md
./docs/store.md
./docs/testing.md
./docs/tier.md
./docs/vault.md
./examples/cpp/service.cpp
./examples/launcher.c
./include/st_secrets.h
./include/st_secrets.hpp
./lib/cmake/st_secrets/st_secretsConfig.cmake
./lib/cmake/st_secrets/st_secretsConfigVersion.cmake
./lib/libst_secrets.a
./lib/libst_secrets.so
./lib/libst_secrets.so.0
./lib/libst_secrets.so.0.1.0
./lib/pkgconfig/st_secrets.pc
./share/bash-completion/completions/st-secrets
./share/fish/vendor_completions.d/st-secrets.fish
./share/licenses/st-secrets/LICENSE-APACHE
./share/licenses/st-secrets/LICENSE-MIT
./share/zsh/site-functions/_st-secrets
LIST
# Every relative link leads to a file of the tarball.
find "$work/unpacked/$name" -name '*.md' | while read -r document; do
    { grep -oE '\]\([^)#: ]+(#[^) ]*)?\)' "$document" || true; } | sed 's/^](//; s/)$//; s/#.*//' | while read -r link; do
        [ -e "$(dirname "$document")/$link" ] || {
            echo "${document#"$work/unpacked/"} links to $link, which is missing"
            exit 1
        }
    done || exit 1
done
# With an environment that does not refer to the build directory.
env -i PATH="$PATH" HOME="$work" sh "$here/tree.sh" "$work/unpacked/$name" "$version" "$cc" "$cxx"
cp "$root/build/dist/$name.tar.gz" "$work/first.tar.gz"
make -s -C "$root" dist >"$work/log" 2>&1 || { cat "$work/log" && exit 1; }
cmp "$work/first.tar.gz" "$root/build/dist/$name.tar.gz" || { echo "the tarball is not reproducible" && exit 1; }
