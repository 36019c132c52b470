#!/bin/sh
# Packs the npm package build/dist/st-secrets-VERSION.tgz with the built add-on and the program st-secrets of
# `make command`. Installing it needs neither network nor compiler.
set -eu
cd "$(dirname "$0")"
dist=$PWD/../../build/dist
mkdir -p "$dist"
sh build.sh
cp ../../build/bin/st-secrets prebuilt/linux-x64/
cp ../../LICENSE-APACHE ../../LICENSE-MIT .
python3 ../../packaging/third_party.py licenses THIRD-PARTY.txt
trap 'rm -f LICENSE-APACHE LICENSE-MIT THIRD-PARTY.txt' EXIT
npm pack --silent --pack-destination "$dist"
