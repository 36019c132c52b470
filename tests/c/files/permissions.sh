#!/bin/sh
# A file that the user may not read is "access denied", never "not found"; one that cannot be written stays unchanged.
#
# usage: permissions.sh SECRET
# shellcheck disable=SC2086 # $secret is a command with its arguments
set -eu
secret=$1
. "$(dirname "$0")/common.sh"

# Root may do anything, so the commands run as a user without an account.
as_user=
chmod 755 "$work"
cp "$secret" "$work/secret"
mkdir "$work/home"
if [ "$(id -u)" -eq 0 ]; then
    as_user="setpriv --reuid=54321 --regid=54321 --clear-groups --inh-caps=-all"
    chown 54321:54321 "$work/home"
fi
secret="env -i HOME=$work/home $as_user $work/secret"
own() {
    [ "$(id -u)" -ne 0 ] || chown 54321:54321 "$@"
}

for format in json yaml; do
    directory=$work/home/$format file=$work/home/$format/s.$format
    mkdir "$directory"
    document $format token >"$file"
    chmod 600 "$file"
    own "$directory" "$file"
    gives token $secret "$file" get HF_TOKEN

    # A file that may not be read.
    chmod 000 "$file"
    fails ST_ACCESS_DENIED "$file" $secret "$file" get HF_TOKEN
    fails ST_ACCESS_DENIED "(13)" $secret "$file" get NOT_THERE
    fails ST_ACCESS_DENIED "$file" $secret "$file" set HF_TOKEN x
    $secret "$file" check | grep -q '"ok": false' || fail "check reports no failure"
    chmod 600 "$file"
    # A directory that may not be entered.
    chmod 000 "$directory"
    fails ST_ACCESS_DENIED "$file" $secret "$file" get HF_TOKEN
    fails ST_ACCESS_DENIED "$file" $secret "$file" set HF_TOKEN x
    # A directory that may not be changed.
    chmod 555 "$directory"
    cp "$file" "$work/before"
    fails ST_ACCESS_DENIED "(13)" $secret "$file" set HF_TOKEN x
    fails ST_ACCESS_DENIED "(13)" $secret "$file" delete HF_TOKEN
    fails ST_ACCESS_DENIED "(13)" $secret "$directory/new.$format" set HF_TOKEN x
    fails ST_ACCESS_DENIED "(13)" $secret "$directory/new/new.$format" set HF_TOKEN x
    cmp -s "$file" "$work/before" || fail "the file has changed"
    [ "$(find "$directory" -type f ! -name '.*.lock' | wc -l)" -eq 1 ] || fail "there are other files in $directory"
    gives token $secret "$file" get HF_TOKEN
    chmod 755 "$directory"
    gives "" $secret "$file" set HF_TOKEN x
    gives x $secret "$file" get HF_TOKEN
done

# A single file of a directory.
mkdir "$work/home/mount"
echo value >"$work/home/mount/OPEN"
echo value >"$work/home/mount/CLOSED"
chmod 000 "$work/home/mount/CLOSED"
own "$work/home/mount" "$work/home/mount/OPEN" "$work/home/mount/CLOSED"
gives value $secret "$work/home/mount" get OPEN
fails ST_ACCESS_DENIED CLOSED $secret "$work/home/mount" get CLOSED
fails ST_NOT_FOUND MISSING $secret "$work/home/mount" get MISSING

# The default location.
mkdir "$work/home/.simpletuner"
document json token >"$work/home/.simpletuner/secrets.json"
chmod 000 "$work/home/.simpletuner/secrets.json"
own "$work/home/.simpletuner" "$work/home/.simpletuner/secrets.json"
fails ST_ACCESS_DENIED .simpletuner/secrets.json $secret - get HF_TOKEN

# No home directory: a user without an account, and HOME not set. Only root can switch to that user.
if [ "$(id -u)" -eq 0 ]; then
    secret="env -i setpriv --reuid=54321 --regid=54321 --clear-groups $work/secret"
    fails ST_NOT_FOUND home $secret - get HF_TOKEN
    fails ST_CONFIG HOME $secret - set HF_TOKEN x
    $secret - check | grep -q 'no home' || fail "check does not report the missing home"

    # A home directory of another user counts as none.
    mkdir "$work/closed" && chmod 700 "$work/closed"
    secret="env -i HOME=$work/closed setpriv --reuid=54321 --regid=54321 --clear-groups $work/secret"
    fails ST_NOT_FOUND "$work/closed" $secret - get HF_TOKEN
    fails ST_CONFIG HOME $secret - set HF_TOKEN x
    $secret - check | grep -q "cannot use the home directory $work/closed" || fail "check does not name the home"
    # A configured path is used as it is.
    fails ST_ACCESS_DENIED "$work/closed" $secret "$work/closed/s.json" get HF_TOKEN
fi
