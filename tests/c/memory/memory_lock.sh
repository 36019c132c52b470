#!/bin/sh
# Memory locks, where they are allowed and where they are not.
#
# usage: memory_lock.sh MEMORY_LOCK
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cp "$1" "$work/memory_lock"
"$work/memory_lock" usual
# Root's locks are never refused.
if [ "$(id -u)" -eq 0 ]; then
    setpriv --reuid=54321 --regid=54321 --clear-groups --inh-caps=-all "$work/memory_lock" refused
else
    "$work/memory_lock" refused
fi
