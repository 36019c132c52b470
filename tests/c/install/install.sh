#!/bin/sh
# `make install` into a folder that is then moved: programs build against it with pkg-config and with CMake, shared and
# static, and run.
#
# usage: install.sh ROOT C_COMPILER
set -eu
root=$1 cc=$2
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset MAKEFLAGS MAKELEVEL LD_LIBRARY_PATH || true
# What is passed on by a caller could lead outside the moved tree.
unset PKG_CONFIG_PATH CMAKE_PREFIX_PATH || true
umask 022

make -s -C "$root" install PREFIX=/opt/st DESTDIR="$work/stage" >"$work/log" 2>&1 || { cat "$work/log" && exit 1; }
moved=$work/moved
mv "$work/stage/opt/st" "$moved"
rmdir "$work/stage/opt" "$work/stage" || { echo "more was installed than the prefix" && exit 1; }
if grep -rIl -e "$work/stage" -e /opt/st -e "$root" -e '@[A-Z_]*@' "$moved"; then
    echo "these files know where they were installed, or were not filled in" && exit 1
fi
(cd "$moved" && find . -type f -o -type l | sort) >"$work/installed"
diff - "$work/installed" <<'LIST' || { echo "the list of installed files is another one" && exit 1; }
./include/st_secrets.h
./lib/cmake/st_secrets/st_secretsConfig.cmake
./lib/cmake/st_secrets/st_secretsConfigVersion.cmake
./lib/libst_secrets.a
./lib/libst_secrets.so
./lib/libst_secrets.so.0
./lib/libst_secrets.so.0.1.0
./lib/pkgconfig/st_secrets.pc
LIST

# runs shared|static PROGRAM: it works, and has the library as it should.
runs() {
    [ "$("$2")" = 6 ] || { echo "$2 does not work" && exit 1; }
    case $1.$(ldd "$2") in
    shared.*"$moved/lib/libst_secrets.so.0"*) ;;
    shared.*) echo "$2 does not use the shared library of the moved tree" && exit 1 ;;
    *libst_secrets*) echo "$2 uses a shared library" && exit 1 ;;
    esac
}

export PKG_CONFIG_LIBDIR=$moved/lib/pkgconfig
[ "$(pkg-config --modversion st_secrets)" = "$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml" | head -n 1)" ]
# shellcheck disable=SC2046
"$cc" -Wall -Werror -o "$work/pc_shared" "$here/consumer/main.c" $(pkg-config --cflags --libs st_secrets)
export LD_LIBRARY_PATH=$moved/lib
runs shared "$work/pc_shared"
unset LD_LIBRARY_PATH

# With --static, the archive is taken where there is no shared library beside it, or where it is asked for.
cp -r "$moved" "$work/archive_only"
rm "$work"/archive_only/lib/libst_secrets.so*
# shellcheck disable=SC2046
PKG_CONFIG_LIBDIR=$work/archive_only/lib/pkgconfig && "$cc" -Wall -Werror -o "$work/pc_static" "$here/consumer/main.c" \
    $(pkg-config --static --cflags --libs st_secrets)
runs static "$work/pc_static"

cmake -S "$here/consumer" -B "$work/build" -DCMAKE_PREFIX_PATH="$moved" -DCMAKE_C_COMPILER="$cc" >"$work/log" 2>&1 &&
    cmake --build "$work/build" >>"$work/log" 2>&1 || { cat "$work/log" && exit 1; }
runs shared "$work/build/with_shared"
runs static "$work/build/with_static"
runs shared "$work/build/with_default"
cmake -S "$here/consumer" -B "$work/build2" -DCMAKE_PREFIX_PATH="$moved" -DBUILD_SHARED_LIBS=OFF >"$work/log" 2>&1 &&
    cmake --build "$work/build2" --target with_default >>"$work/log" 2>&1 || { cat "$work/log" && exit 1; }
runs static "$work/build2/with_default"

# A version that is too new is refused.
sed 's/st_secrets 0.1/st_secrets 0.9/' "$here/consumer/CMakeLists.txt" >"$work/CMakeLists.txt"
cp "$here/consumer/main.c" "$work/"
if cmake -S "$work" -B "$work/build3" -DCMAKE_PREFIX_PATH="$moved" >"$work/log" 2>&1; then
    echo "version 0.9 was found" && exit 1
fi
grep -q 'version: 0.1' "$work/log" || { cat "$work/log" && exit 1; }
