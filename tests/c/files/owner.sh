#!/bin/sh
# Root changes another user's file: the owner stays the same and can still change it. (Only root can try this.)
#
# usage: owner.sh SECRET
# shellcheck disable=SC2086 # $as_owner is a command with its arguments
set -eu
secret=$1
. "$(dirname "$0")/common.sh"
[ "$(id -u)" -eq 0 ] || { echo "skipped: needs root" && exit 0; }

chmod 755 "$work"
cp "$secret" "$work/secret"
as_owner="setpriv --reuid=54321 --regid=54321 --clear-groups --inh-caps=-all $work/secret"
for format in json yaml; do
    mkdir "$work/$format"
    file=$work/$format/s.$format
    document $format token >"$file"
    chmod 600 "$file"
    chown 54321:54321 "$work/$format" "$file"
    gives "" "$work/secret" "$file" set HF_TOKEN by-root
    [ "$(stat -c %u:%g "$file")" = 54321:54321 ] || fail "the owner of the file changed"
    gives by-root $as_owner "$file" get HF_TOKEN
    gives "" $as_owner "$file" set HF_TOKEN by-owner
done
