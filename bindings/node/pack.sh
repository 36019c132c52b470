#!/bin/sh
# Packs the npm package build/dist/st-secrets-VERSION.tgz with the add-ons and programs that build.sh has built.
# Installing it needs neither network nor compiler.
set -eu
cd "$(dirname "$0")"
dist=$PWD/../../build/dist
mkdir -p "$dist"
cp ../../LICENSE-APACHE ../../LICENSE-MIT .
trap 'rm -f LICENSE-APACHE LICENSE-MIT' EXIT
npm pack --silent --pack-destination "$dist"
