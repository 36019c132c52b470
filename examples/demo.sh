#!/bin/sh
# Runs the launcher with a secrets file, then with an override in the environment. All files are in a temporary
# directory; no value is printed.
set -eu
launcher=$1
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
export HOME="$home"
unset HF_TOKEN REPLICATE_API_TOKEN CLOUD_WEBHOOK_SECRET

run() {
    printf '\n$ launcher %s\n' "$*"
    "$launcher" "$@" || echo "(exit code $?)"
}

mkdir -m 700 "$home/.simpletuner"
(umask 077 && cat >"$home/.simpletuner/secrets.json" <<'JSON')
{
  "HF_TOKEN": "hf_demo_token_from_the_file",
  "REPLICATE_API_TOKEN": "r8_demo_token_from_the_file"
}
JSON

echo "A secrets file in $home/.simpletuner/secrets.json:"
run --from HF_TOKEN REPLICATE_API_TOKEN

echo
echo "The same with HF_TOKEN in the environment, which takes precedence:"
export HF_TOKEN=hf_demo
run --from HF_TOKEN REPLICATE_API_TOKEN
unset HF_TOKEN

echo
echo "A command that gets the secrets in its environment:"
run HF_TOKEN REPLICATE_API_TOKEN -- sh -c 'echo "training with tokens of ${#HF_TOKEN} and ${#REPLICATE_API_TOKEN} characters"'

echo
echo "A missing secret:"
run CLOUD_WEBHOOK_SECRET -- true

echo
echo "The health of each provider:"
chmod 644 "$home/.simpletuner/secrets.json"
run --check
