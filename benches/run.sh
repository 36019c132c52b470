#!/bin/sh
# Prints the measurements of `make bench`. Compare ratios within one run; absolute times vary with the load of the
# machine.
set -eu
cd "$(dirname "$0")/.."
command -v python3 >/dev/null || { echo "python3 is missing; the benchmarks compare with it" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset HF_TOKEN
sh tests/python-tools.sh

for program in first_secret get credential remote store redact tier; do
    ${CC:-cc} -O2 -Wall -Iinclude -o "$work/$program" "benches/$program.c" -Lbuild/lib -lst_secrets \
        -Wl,-rpath,"$PWD/build/lib" -pthread
done
(umask 077 && cat >"$work/secrets.json" <<'JSON')
{
  "HF_TOKEN": "hf_0123456789abcdef0123456789abcdef",
  "REPLICATE_API_TOKEN": "r8_0123456789abcdef0123456789abcdef"
}
JSON

python3 benches/starts.py "process start to first secret, C" "$work/first_secret $work/secrets.json HF_TOKEN" \
    "the same in Python (json, os.environ)" "python3 benches/first_secret.py $work/secrets.json HF_TOKEN"
echo
python3 -c 'import json, sys; json.dump({f"S_{n}": f"value {n}" for n in range(1000)}, sys.stdout)' >"$work/many.json"
chmod 600 "$work/many.json"
for pair in "a secret:$work/secrets.json:HF_TOKEN" "1000 secrets:$work/many.json:--all"; do
    label=${pair%%:*} rest=${pair#*:}
    run="build/bin/st-secrets run --file ${rest%%:*} ${rest#*:} -- /bin/true"
    python3 benches/starts.py "start of a command, st-secrets run, $label" "$run" \
        "the same in C (examples/launcher.c), a secret" "build/launcher --file $work/secrets.json HF_TOKEN -- /bin/true"
done
build/venv/bin/python benches/get.py "$work/get"
build/venv/bin/python benches/credential.py "$work/credential"
echo
echo "AWS Secrets Manager and Vault:"
build/venv/bin/python benches/remote.py "$work/remote" "$work/tier"
echo
build/venv/bin/python benches/store.py "$work/store" "$work/state"
echo
build/venv/bin/python benches/redact.py "$work/redact" "$work/log"
echo
printf '%-44s %8s KiB\n' "size of the stripped shared library" \
    "$(($(stat -Lc %s build/lib/libst_secrets.so) / 1024))"

echo
echo "The cache, through the C ABI, next to other caches:"
cargo run --quiet --release --locked --manifest-path benches/peers/Cargo.toml --target-dir build/peers -- --quick

for language in cpp python node go; do
    echo
    echo "From $language:"
    sh "benches/$language.sh"
done
