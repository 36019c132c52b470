#!/bin/sh
# Makes build/venv, a Python with the cryptography package that the tests compare with. It does nothing where it is there.
set -eu
cd "$(dirname "$0")/.."
version=46.0.3
venv=build/venv
if "$venv/bin/python" -c "import cryptography; assert cryptography.__version__ == '$version'" 2>/dev/null; then
    exit 0
fi
command -v python3 >/dev/null || { echo "python3 is missing (package python3, python3-venv)" >&2; exit 1; }
echo "installing: cryptography $version for Python, into $venv"
mkdir -p build
python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check "cryptography==$version"
