#!/bin/sh
# A project that adds the repository as a subdirectory, as FetchContent does, builds and runs; and `cmake --install` of
# the repository installs what `make install` does.
#
# usage: subdirectory.sh ROOT C_COMPILER C++_COMPILER
set -eu
root=$1 cc=$2 cxx=$3
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
logged() {
    "$@" >"$work/log" 2>&1 || { cat "$work/log" && exit 1; }
}

mkdir "$work/app"
cp "$here/consumer/main.c" "$here/consumer/main.cpp" "$work/app/"
sed "s|find_package(.*|add_subdirectory($root st_secrets)|" "$here/consumer/CMakeLists.txt" >"$work/app/CMakeLists.txt"
logged cmake -S "$work/app" -B "$work/app/build" -DCMAKE_C_COMPILER="$cc" -DCMAKE_CXX_COMPILER="$cxx"
logged cmake --build "$work/app/build"
for program in shared_c static_cpp default_c; do
    [ "$("$work/app/build/with_$program")" = 6 ] || { echo "with_$program does not work" && exit 1; }
done

logged cmake -S "$root" -B "$work/build" -DST_SECRETS_TESTS=OFF -DCMAKE_INSTALL_PREFIX=/opt/st -DCMAKE_INSTALL_LIBDIR=lib
logged cmake --build "$work/build"
DESTDIR=$work/cmake logged cmake --install "$work/build"
logged make -s -C "$root" install PREFIX=/opt/st DESTDIR="$work/make"
diff -r "$work/cmake" "$work/make"
