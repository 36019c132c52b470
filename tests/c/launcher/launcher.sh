#!/bin/sh
# The launcher of examples/: exit codes, what the command gets, and that no value is shown.
#
# usage: launcher.sh LAUNCHER ROOT
set -eu
launcher=$1
. "$2/tests/c/files/common.sh"
mkdir -m 700 "$work/.simpletuner"
file=$work/.simpletuner/secrets.json
printf '{"HF_TOKEN": "CANARY-hf", "REPLICATE_API_TOKEN": "CANARY r8"}\n' >"$file"
chmod 600 "$file"

# run CODE ARGUMENT…: the exit code is this; the output is in $output.
run() {
    expected=$1
    shift
    code=0
    output=$(env -i PATH="$PATH" HOME="$work" ${set_also:+"$set_also"} "$launcher" "$@" 2>&1) || code=$?
    [ "$code" -eq "$expected" ] || fail "launcher $*: exit code $code, not $expected: $output"
}
shows() {
    case $output in
    *"$1"*) ;;
    *) fail "expected '$1' in: $output" ;;
    esac
}
hides_values() {
    case $output in
    *CANARY*) fail "a value was shown: $output" ;;
    esac
}
set_also=

run 0 HF_TOKEN REPLICATE_API_TOKEN -- sh -c 'echo "$HF_TOKEN, $REPLICATE_API_TOKEN, $*"' name "an argument" --
[ "$output" = "CANARY-hf, CANARY r8, an argument --" ] || fail "the command got: $output"
run 42 HF_TOKEN -- sh -c 'exit 42'
run 3 HF_TOKEN NO_SUCH_TOKEN -- sh -c 'echo started'
hides_values
shows NO_SUCH_TOKEN
shows "$file has no such key"
case $output in *started*) fail "the command ran in spite of a missing secret" ;; esac
run 127 HF_TOKEN -- "$work/no-such-command"
hides_values
run 126 HF_TOKEN -- "$file"
hides_values

run 0 --from HF_TOKEN REPLICATE_API_TOKEN
hides_values
shows "HF_TOKEN"
shows "layer file"
set_also=HF_TOKEN=CANARY-env
run 0 --from HF_TOKEN
hides_values
shows "layer env"
run 0 HF_TOKEN -- sh -c 'echo "$HF_TOKEN"'
[ "$output" = CANARY-env ] || fail "the command got: $output"
set_also=
run 3 --from NO_SUCH_TOKEN

run 0 --check
hides_values
shows '"ok": true'
chmod 644 "$file"
run 0 --check
shows "chmod 600 $file"
chmod 600 "$file"
printf '{"HF_TOKEN": CANARY}' >"$file"
run 4 --check
hides_values
run 4 HF_TOKEN -- true
hides_values
shows "line 1, column 14"

run 2
run 2 HF_TOKEN
run 2 HF_TOKEN --
