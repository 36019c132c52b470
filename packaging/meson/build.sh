#!/bin/sh
# Builds the libraries with make and copies them to where Meson expects them.
#
# usage: build.sh MAKE CARGO SHARED STATIC
set -eu
make=$1 cargo=$2 shared=$(realpath -m "$3") static=$(realpath -m "$4")
cd "$(dirname "$0")/../.."
# The variables of a make around this one would change what it does.
unset MAKEFLAGS MAKELEVEL || true
"$make" --no-print-directory all "CARGO=$cargo"
# Only what has changed, so that nothing is linked again for nothing.
for pair in "build/lib/libst_secrets.so:$shared" "build/lib/libst_secrets.a:$static"; do
    cmp -s "${pair%%:*}" "${pair#*:}" || cp -L "${pair%%:*}" "${pair#*:}"
done
