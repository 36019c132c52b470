#!/bin/sh
# A program builds with the CMake package of an installed tree, and runs.
#
# usage: cmake.sh TREE C_COMPILER C++_COMPILER
set -eu
tree=$1 cc=$2 cxx=$3
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
{
    cmake -S "$here/consumer" -B "$work/build" -DCMAKE_PREFIX_PATH="$tree" -DCMAKE_C_COMPILER="$cc" \
        -DCMAKE_CXX_COMPILER="$cxx" -Dst_secrets_DIR="$(dirname "$(find "$tree" -name st_secretsConfig.cmake)")"
    cmake --build "$work/build"
} >"$work/log" 2>&1 || { cat "$work/log" && exit 1; }
for program in shared_c static_cpp; do
    [ "$("$work/build/with_$program")" = 6 ] || { echo "with_$program does not work" && exit 1; }
done
