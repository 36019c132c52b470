#!/bin/sh
# The launcher of examples/: exit codes, the command's environment, and that no value is printed.
#
# usage: launcher.sh LAUNCHER ROOT
set -eu
launcher=$1
. "$2/tests/c/files/common.sh"
mkdir -m 700 "$work/.simpletuner"
file=$work/.simpletuner/secrets.json
printf '{"HF_TOKEN": "CANARY-hf", "REPLICATE_API_TOKEN": "CANARY r8"}\n' >"$file"
chmod 600 "$file"

# run CODE ARGUMENT…: checks the exit code; the output is in $output.
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
case $output in *started*) fail "the command ran despite a missing secret" ;; esac
run 127 HF_TOKEN -- "$work/no-such-command"
hides_values
run 126 HF_TOKEN -- "$file"
hides_values

run 0 --from HF_TOKEN REPLICATE_API_TOKEN
hides_values
shows "HF_TOKEN"
shows "provider file"
set_also=HF_TOKEN=CANARY-env
run 0 --from HF_TOKEN
hides_values
shows "provider env"
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


# Warnings go to stderr and do not stop the command. A file that is not read is not mentioned.
printf '{"HF_TOKEN": "CANARY-hf"}\n' >"$file"
chmod 666 "$file"
run 0 HF_TOKEN -- true
hides_values
shows "launcher: warning: "
shows "chmod 600 $file"
run 0 HF_TOKEN -- sh -c 'exec 2>&1; echo "$HF_TOKEN"'
code=0
output=$(env -i PATH="$PATH" HOME="$work" "$launcher" HF_TOKEN -- sh -c 'echo "$HF_TOKEN"' 2>/dev/null) || code=$?
[ "$code.$output" = 0.CANARY-hf ] || fail "stdout has more than the command's output: $output"
set_also=HF_TOKEN=CANARY-env
run 0 HF_TOKEN -- true
[ -z "$output" ] || fail "a file that is not read is mentioned: $output"
set_also=
chmod 600 "$file"
run 0 HF_TOKEN -- true
[ -z "$output" ] || fail "a warning without a reason: $output"

# Help and version succeed; wrong usage is an error on stderr and starts nothing.
for option in --help -h --version; do
    code=0
    output=$("$launcher" "$option" 2>"$work/stderr") || code=$?
    [ "$code" -eq 0 ] && [ -n "$output" ] && [ ! -s "$work/stderr" ] || fail "launcher $option: $code, $output"
done
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$2/Cargo.toml" | head -n 1)
run 0 --version
shows "$version"
run 0 --file "$file" --help
shows "usage: launcher"
# wrong TEXT ARGUMENT…: checks that stderr contains TEXT and stdout is empty.
wrong() {
    expected=$1
    shift
    code=0
    output=$(env -i PATH="$PATH" HOME="$work" "$launcher" "$@" 2>"$work/stderr") || code=$?
    [ "$code.$output" = 2. ] || fail "launcher $*: exit code $code, output: $output"
    output=$(cat "$work/stderr")
    shows "$expected"
    shows "usage: launcher"
}
wrong "no secret is given"
wrong "put -- before it" HF_TOKEN
wrong "no command is given after --" HF_TOKEN --
wrong "--bogus" --bogus
wrong "--bogus" --bogus HF_TOKEN -- echo started
wrong "--bogus" HF_TOKEN --bogus -- echo started
wrong "-v" -v -- echo started
wrong "--file needs a path" --file
wrong "--from needs the name" --from
wrong "--from takes no command" --from HF_TOKEN -- echo started
wrong "--bogus" --from --bogus
wrong "unexpected argument: extra" --check extra
wrong "unexpected argument: extra" --version extra
# Options after the command belong to it.
run 0 HF_TOKEN -- sh -c 'echo "$1"' name --bogus
[ "$output" = --bogus ] || fail "the command got: $output"
