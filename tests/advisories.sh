#!/bin/sh
# Fetches RustSec's list of vulnerable, unmaintained and yanked crates into build/advisories, and checks the crates of
# Cargo.lock against it. Without a network, ADVISORY_DB names a clone of https://github.com/RustSec/advisory-db.
set -eu
cd "$(dirname "$0")/.."
if [ -n "${ADVISORY_DB-}" ]; then
    export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0="url.file://$ADVISORY_DB.insteadOf"
    export GIT_CONFIG_VALUE_0=https://github.com/RustSec/advisory-db
fi
build/lint/bin/cargo-deny --locked check advisories || {
    echo "a crate has an advisory (above), or the list cannot be fetched: set ADVISORY_DB, see tests/advisories.sh" >&2
    exit 1
}
