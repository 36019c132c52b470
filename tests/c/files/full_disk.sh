#!/bin/sh
# A full or unwritable disk is an error that leaves the file unchanged.
#
# usage: full_disk.sh SECRET
set -eu
secret=$1
if [ "$(id -u)" -ne 0 ]; then
    # Root of its own namespace may mount.
    [ "${2-}" != again ] || { echo "cannot mount a small disk: run the tests as root" && exit 1; }
    exec unshare --map-root-user --mount sh "$0" "$secret" again
fi
. "$(dirname "$0")/common.sh"

disk=$work/disk
mkdir "$disk"
mount -t tmpfs -o size=64k,mode=700 tmpfs "$disk" || fail "cannot mount a small disk; this test needs root with" \
    "CAP_SYS_ADMIN (in a container: --cap-add SYS_ADMIN) or unprivileged user namespaces"
trap 'umount "$disk"; rm -rf "$work"' EXIT

as_before() {
    cmp -s "$file" "$work/before" || fail "$format: the file has changed: $(head -c 300 "$file")"
    [ "$(mode_of "$file")" = 600 ] || fail "$format: the mode is $(mode_of "$file")"
    [ ! -e "$disk/.s.$format.tmp" ] || fail "$format: a temporary file was left behind"
}

large=$(head -c 60000 /dev/zero | tr '\0' x)
for format in json yaml; do
    file=$disk/s.$format
    document $format "$(head -c 20000 /dev/zero | tr '\0' y)" >"$work/before"
    cp "$work/before" "$file"
    chmod 600 "$file"

    # Not enough room for the new file in addition to the old one.
    fails ST_IO "(28)" "$secret" "$file" set HF_TOKEN "$large"
    as_before
    # No room at all.
    cat /dev/zero >"$disk/filler" 2>/dev/null || true
    fails ST_IO "(28)" "$secret" "$file" set NEW x
    as_before
    fails ST_IO "(28)" "$secret" "$file" delete A
    as_before
    # A new file is not left incomplete.
    fails ST_IO "(28)" "$secret" "$disk/new.$format" set NEW x
    [ ! -e "$disk/new.$format" ] || fail "an incomplete file was created"
    gives one "$secret" "$file" get A
    rm "$disk/filler"

    # A disk mounted read-only.
    mount -o remount,ro "$disk"
    fails ST_READ_ONLY "(30)" "$secret" "$file" set NEW x
    fails ST_READ_ONLY "(30)" "$secret" "$file" delete A
    as_before
    mount -o remount,rw "$disk"

    gives "" "$secret" "$file" set NEW x
    gives x "$secret" "$file" get NEW
    rm -f "$file" "$disk"/.[!.]*
done
