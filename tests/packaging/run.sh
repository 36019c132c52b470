#!/bin/sh
# Tests the packages for other package managers, with what make has built: the bills of materials and licences, the
# Debian packages, the files for Meson, Conan and vcpkg, and the library without remote providers. Needs a network once,
# for build/packaging.
set -eu
cd "$(dirname "$0")/../.."
venv=build/packaging
if ! cmp -s tests/packaging/requirements.txt "$venv/installed.txt"; then
    echo "installing for the tests of packages, into $venv: CycloneDX, Meson, Conan" >&2
    python3 -m venv --clear "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --retries 5 -r tests/packaging/requirements.txt
    cp tests/packaging/requirements.txt "$venv/installed.txt"
fi

"$venv/bin/python" tests/packaging/third_party.py
sh tests/packaging/deb.sh
sh tests/packaging/release.sh
sh tests/packaging/meson.sh
sh tests/packaging/conan.sh
sh tests/packaging/small.sh

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
grep -qF "\"version\": \"$version\"" packaging/vcpkg/st-secrets/vcpkg.json || { echo "the port of vcpkg has another version" && exit 1; }
