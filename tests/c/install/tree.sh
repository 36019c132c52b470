#!/bin/sh
# Programs in C and C++ build with an installed tree, with pkg-config and CMake, shared and static, and run.
#
# usage: tree.sh TREE VERSION C_COMPILER C++_COMPILER
set -eu
tree=$1 version=$2 cc=$3 cxx=$4
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Variables of the caller could refer to files outside of the tree.
unset MAKEFLAGS MAKELEVEL LD_LIBRARY_PATH PKG_CONFIG_PATH CMAKE_PREFIX_PATH CPATH LIBRARY_PATH || true

# runs shared|static PROGRAM: checks that it works and is linked so.
runs() {
    [ "$("$2")" = 6 ] || { echo "$2 does not work" && exit 1; }
    case $1.$(ldd "$2") in
    shared.*"$tree/lib/libst_secrets.so.0"*) ;;
    shared.*) echo "$2 does not use the shared library of the tree" && exit 1 ;;
    *libst_secrets*) echo "$2 uses a shared library" && exit 1 ;;
    esac
}

# built LANGUAGE PROGRAM FLAG…
built() {
    language=$1 program=$2
    shift 2
    case $language in
    c) "$cc" -Wall -Werror -o "$program" "$here/consumer/main.c" "$@" ;;
    cpp) "$cxx" -std=c++17 -Wall -Werror -o "$program" "$here/consumer/main.cpp" "$@" ;;
    esac
}

export PKG_CONFIG_LIBDIR="$tree/lib/pkgconfig"
[ "$(pkg-config --modversion st_secrets)" = "$version" ]
# With --static, the archive is used if there is no shared library next to it, or if it is requested.
cp -r "$tree" "$work/archive_only"
rm "$work"/archive_only/lib/libst_secrets.so*
for language in c cpp; do
    # shellcheck disable=SC2046
    built $language "$work/shared_$language" $(pkg-config --cflags --libs st_secrets)
    export LD_LIBRARY_PATH="$tree/lib"
    runs shared "$work/shared_$language"
    unset LD_LIBRARY_PATH
    # shellcheck disable=SC2046,SC2086
    built $language "$work/static_$language" \
        $(PKG_CONFIG_LIBDIR=$work/archive_only/lib/pkgconfig pkg-config --static --cflags --libs st_secrets)
    runs static "$work/static_$language"
done

# Without any shared library.
built c "$work/alone" -I"$tree/include" "$tree/lib/libst_secrets.a" -static -Wl,--gc-sections -lutil -lrt -lpthread -lm \
    -ldl -lc 2>"$work/log" || { cat "$work/log" && exit 1; }
[ "$("$work/alone")" = 6 ] || { echo "the program that is linked with -static does not work" && exit 1; }
if ldd "$work/alone" >/dev/null 2>&1; then echo "the program that is linked with -static is not static" && exit 1; fi

# configured DIRECTORY OPTION…
configured() {
    cmake -S "$here/consumer" -B "$@" -DCMAKE_PREFIX_PATH="$tree" -DCMAKE_C_COMPILER="$cc" -DCMAKE_CXX_COMPILER="$cxx" \
        >"$work/log" 2>&1 || { cat "$work/log" && exit 1; }
    cmake --build "$1" >"$work/log" 2>&1 || { cat "$work/log" && exit 1; }
}
configured "$work/build"
configured "$work/build_static" -DBUILD_SHARED_LIBS=OFF
for language in c cpp; do
    runs shared "$work/build/with_shared_$language"
    runs static "$work/build/with_static_$language"
    runs shared "$work/build/with_default_$language"
    runs static "$work/build_static/with_default_$language"
done

# A version that is too new is rejected.
cp -r "$here/consumer" "$work/new"
sed 's/st_secrets 0.1/st_secrets 0.9/' "$here/consumer/CMakeLists.txt" >"$work/new/CMakeLists.txt"
if cmake -S "$work/new" -B "$work/build_new" -DCMAKE_PREFIX_PATH="$tree" >"$work/log" 2>&1; then
    echo "version 0.9 was found" && exit 1
fi
grep -q "version: ${version%.*}" "$work/log" || { cat "$work/log" && exit 1; }
