#!/bin/sh
# A core file of a program that holds secrets contains neither them nor freed copies in clear; a copy that the program
# itself makes is found.
#
# usage: core_file.sh HOLDER FIND_PIECES
set -eu
holder=$1 find_pieces=$2
work=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid"; rm -rf "$work"' EXIT
umask 077

# 48 random letters, written to a file for the search.
random() {
    value=$(head -c 400 /dev/urandom | base64 -w0 | tr -dc 'A-Za-z0-9' | head -c 48)
    echo "$value" >>"$work/values"
}
document() { # json|yaml
    random && held=$value && random && freed=$value && random && nested=$value && random && escaped=$value
    random && gone=$value
    # As in the file: the text contains an escape.
    raw="$(echo "$escaped" | cut -c1-24)\\u0041$(echo "$escaped" | cut -c25-)"
    case $1 in
    json) printf '{\n"HELD": "%s", "FREED": "%s",\n"NESTED": {"a": ["%s"]}, "ESCAPED": "%s", "GONE": "%s"}\n' \
        "$held" "$freed" "$nested" "$raw" "$gone" ;;
    yaml) printf 'HELD: %s\nFREED: "%s"\nNESTED:\n  a: [%s]\nESCAPED: "%s"\nGONE: |\n  %s\n' \
        "$held" "$freed" "$nested" "$raw" "$gone" ;;
    esac
}
document json >"$work/s.json"
document yaml >"$work/s.yaml"
document json >"$work/forgotten.json"
document yaml >"$work/broken.yaml"
random && printf 'OTHER: [%s\nMORE: }\n' "$value" >>"$work/broken.yaml"
mkdir "$work/mount"
for name in HELD FREED NESTED ESCAPED; do
    random && echo "$value" >"$work/mount/$name"
done
random && printf %s "$value" >"$work/own"
random && printf %s "$value" >"$work/credential.key"
random && printf %s "$value" >"$work/credential"
[ "$(wc -l <"$work/values")" -eq 28 ]

core_of() { # FILE ARGUMENT…
    core=$1
    shift
    mkfifo "$work/say"
    env -i "$holder" "$work" "$@" >"$work/say" &
    pid=$!
    read -r answer <"$work/say" || answer="nothing"
    rm "$work/say"
    [ "$answer" = ready ] || { echo "the program printed $answer" && exit 1; }
    gcore -o "$core" "$pid" >"$work/gcore" 2>&1 || { cat "$work/gcore" && exit 1; }
    kill "$pid"
    wait "$pid" || true
    mv "$core.$pid" "$core"
    pid=
}

core_of "$work/core"
"$find_pieces" "$work/core" "$work/values" || { echo "a secret is in the core file" && exit 1; }
core_of "$work/core_with_leak" leak
if "$find_pieces" "$work/core_with_leak" "$work/values" >"$work/found"; then
    echo "the copy that the program made was not found, so the search does not work" && exit 1
fi
[ "$(wc -l <"$work/found")" -eq 1 ] || { cat "$work/found" && exit 1; }
