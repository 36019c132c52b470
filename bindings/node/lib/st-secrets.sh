#!/bin/sh
# Runs the program st-secrets for this machine. Node starts nothing here, so signals reach the program.
directory=$(dirname "$(readlink -f "$0")")/../prebuilt
machine=$(uname -m)
case $machine in
x86_64) platform=linux-x64 ;;
aarch64) platform=linux-arm64 ;;
*) echo "st-secrets: this package has no program for $machine" >&2 && exit 1 ;;
esac
[ ! -e "/lib/ld-musl-$machine.so.1" ] || [ ! -e "$directory/$platform-musl" ] || platform=$platform-musl
exec "$directory/$platform/st-secrets" "$@"
