#!/bin/sh
# Packs what make has built with Conan's recipe, shared and static, and builds a program with each package. With the
# argument `create`, Conan builds the library too, from the sources that the recipe exports, which takes minutes.
#
# usage: conan.sh [create]
set -eu
cd "$(dirname "$0")/../.."
root=$PWD mode=${1:-}
PATH=$root/build/packaging/bin:$PATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset MAKEFLAGS MAKELEVEL || true
logged() {
    "$@" >"$work/log" 2>&1 || { cat "$work/log" && exit 1; }
}

export CONAN_HOME="$work/conan"
logged conan profile detect
for shared in True False; do
    set -- -o "&:shared=$shared" --test-folder "$root/tests/packaging/conan" \
        -c "tools.cmake.cmake_layout:test_folder=$work/test-$shared"
    if [ "$mode" = create ]; then
        logged conan create packaging/conan "$@"
    else
        logged conan export-pkg packaging/conan "$@"
    fi
done
echo "Conan: passed"
