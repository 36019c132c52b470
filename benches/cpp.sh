#!/bin/sh
# Compares the C++ wrapper with the C functions that it calls. usage: cpp.sh
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "C++ and the same calls in C:"
"${CXX:-c++}" -std=c++17 -O2 -Wall -Iinclude -o "$work/cpp" benches/cpp.cpp -Lbuild/lib -lst_secrets -Wl,-rpath,"$PWD/build/lib"
IN_ENVIRONMENT=hf_0123456789abcdef0123456789abcdef "$work/cpp"
