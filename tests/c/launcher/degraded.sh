#!/bin/sh
# The launcher warns about a value that comes from Vault because the secrets file cannot be read, and runs the command.
# Run by conformance_servers.py, with a Vault.
#
# usage: degraded.sh LAUNCHER
set -eu
launcher=$1
. "$(dirname "$0")/../files/common.sh"
printf '{"HF_TOKEN": CANARY}\n' >"$work/broken.json"
chmod 600 "$work/broken.json"

# with_vault ARGUMENT…: runs the launcher; stdout is in $output, stderr in $work/stderr.
with_vault() {
    output=$(env -i PATH="$PATH" HOME="$work" VAULT_ADDR="$CONFORMANCE_VAULT_URL" VAULT_TOKEN="$CONFORMANCE_VAULT_TOKEN" \
        SIMPLETUNER_VAULT_PATH=conformance "$launcher" --file "$work/broken.json" "$@" 2>"$work/stderr") ||
        fail "launcher $*: $output $(cat "$work/stderr")"
}
# warns TEXT: checks that stderr contains TEXT and no value.
warns() {
    grep -qF -- "$1" "$work/stderr" || fail "expected '$1' in: $(cat "$work/stderr")"
    ! grep -q -e CANARY -e hf_vault "$work/stderr" || fail "a value is shown: $(cat "$work/stderr")"
}

with_vault HF_TOKEN -- sh -c 'echo "$HF_TOKEN"'
[ "$output" = hf_vault ] || fail "the command got: $output"
warns "launcher: warning: HF_TOKEN comes from provider vault, but an earlier provider failed"
warns "$work/broken.json"
with_vault --from HF_TOKEN
[ "$output" = "HF_TOKEN                 8 bytes from provider vault (an earlier provider failed)" ] || fail "got: $output"
