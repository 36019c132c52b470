#!/bin/sh
# A project builds with the library as a subproject of Meson, shared and static, through the wrap, and runs; and what
# `meson install` of the project installs works.
set -eu
cd "$(dirname "$0")/../.."
root=$PWD
PATH=$root/build/packaging/bin:$PATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset MAKEFLAGS MAKELEVEL || true
logged() {
    "$@" >"$work/log" 2>&1 || { cat "$work/log" && exit 1; }
}

mkdir -p "$work/app/subprojects"
cp tests/c/install/consumer/main.c tests/c/install/consumer/main.cpp tests/packaging/meson.build "$work/app/"
cp packaging/meson/st_secrets.wrap "$work/app/subprojects/"
# Meson does not download a subproject that is there; what make has built in this one is up to date.
ln -s "$root" "$work/app/subprojects/st_secrets"
for library in shared static; do
    logged meson setup "$work/$library" "$work/app" -Ddefault_library=$library --prefix=/opt/app --libdir=lib \
        --wrap-mode=forcefallback
    logged meson compile -C "$work/$library"
    for program in with_c with_cpp; do
        [ "$("$work/$library/$program")" = 6 ] || { echo "$program does not work with the $library library" && exit 1; }
        case $library.$(ldd "$work/$library/$program") in
        shared.*"libst_secrets.so.0 => $work"* | static.*) ;;
        *) echo "$program does not use the shared library of the subproject" && exit 1 ;;
        esac
    done
    if ldd "$work/static/with_c" 2>/dev/null | grep libst_secrets; then
        echo "the program with the static library uses a shared one" && exit 1
    fi
    DESTDIR=$work/installed-$library logged meson install -C "$work/$library"
    [ "$(LD_LIBRARY_PATH=$work/installed-$library/opt/app/lib "$work/installed-$library/opt/app/bin/with_c")" = 6 ]
done

# What is installed is a library to compile with.
tree=$work/installed-shared/opt/app
# shellcheck disable=SC2046
cc -o "$work/again" tests/c/install/consumer/main.c $(PKG_CONFIG_PATH=$tree/lib/pkgconfig pkg-config \
    --define-variable=prefix="$tree" --cflags --libs st_secrets)
[ "$(LD_LIBRARY_PATH=$tree/lib "$work/again")" = 6 ]

# The version is that of the crate.
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
meson introspect --projectinfo "$work/shared" | grep -qF "\"version\": \"$version\"" || { echo "Meson has another version" && exit 1; }
echo "Meson: passed"
