#!/bin/sh
# Creates build/venv, a Python environment with the packages of tests/python/requirements.txt and OpenBao. Does nothing
# if it is complete. Several processes may run it at once.
set -eu
cd "$(dirname "$0")/.."
venv=build/venv
wanted="tests/python/requirements.txt tests/python/clouds.txt tests/python/openbao.txt"
installed=$venv/installed.txt

# The stamp is written last, so that an interrupted installation is repeated.
is_there() {
    # shellcheck disable=SC2086
    cat $wanted | cmp -s - "$installed" && "$venv/bin/python" -c '' 2>/dev/null
}
if is_there; then
    exit 0
fi
command -v python3 >/dev/null || { echo "python3 is missing (package python3, python3-venv)" >&2; exit 1; }
mkdir -p build
exec 9>build/venv.lock
flock 9
if is_there; then
    exit 0
fi
echo "installing for the tests, into $venv: moto, OpenBao, boto3, hvac, clients of clouds, cryptography, mypy, cachebox, cachetools" >&2
if ! { [ -x "$venv/bin/pip" ] && "$venv/bin/python" -c '' 2>/dev/null; }; then
    python3 -m venv --clear "$venv"
fi
pip() {
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --retries 5 "$@" || {
        echo "cannot install the Python packages of $wanted (pip's message is above): the package index is unreachable," >&2
        echo "lacks a version, or served a file with another hash; when that is fixed, run: sh tests/python-tools.sh" >&2
        exit 1
    }
}
pip -r tests/python/requirements.txt -r tests/python/clouds.txt
pip --require-hashes --no-deps -r tests/python/openbao.txt
"$venv/bin/python" -c 'import boto3, hvac, moto.server, aws_secretsmanager_caching, cryptography, google.cloud.secretmanager, azure.identity, onepasswordconnectsdk, infisical_sdk'
# shellcheck disable=SC2086
cat $wanted >"$installed"
