#!/bin/sh
# Lints everything but the Rust code: the wording and width of comments, imports in circles, the map of the source, C,
# C++, shell, Python, JavaScript. Checks the crates that the library uses, and that the interfaces of C and Rust are
# kept.
set -eu
cd "$(dirname "$0")/.."
lint=build/lint

python3 tests/words.py
python3 tests/imports.py
python3 tests/type_names.py
python3 tests/map.py
python3 tests/rust_version.py
"$lint/bin/cargo-deny" --locked check -D unmatched-skip -D unnecessary-skip bans licenses sources
if [ -n "$(find build/advisories -maxdepth 1 -name "advisory-db-*" 2>/dev/null)" ]; then
    "$lint/bin/cargo-deny" --offline --locked check advisories
else
    echo "not compared with RustSec's list of vulnerable crates, which is not here: make advisories"
fi
python3 tests/abi/interface.py c
python3 tests/abi/interface.py rust
git ls-files '*.c' '*.h' '*.cpp' '*.hpp' | grep -vx 'include/st_secrets\.h' | xargs "$lint/bin/clang-format" --dry-run -Werror
git ls-files '*.sh' | xargs "$lint/bin/shellcheck"
"$lint/bin/ruff" check --quiet .
"$lint/bin/ruff" format --check --quiet .
"$lint/node_modules/@biomejs/cli-linux-x64/biome" lint --error-on-warnings .
