#!/bin/sh
# Runs the tests of the Node binding. They need the library (`make`), Node 20 or newer, a C compiler, the servers that
# tests/python-tools.sh installs, and the npm packages pinned in test/package-lock.json, which are installed once.
#
# usage: test.sh [TEST]      or: test.sh --record [--breaking]
# With TEST, nothing is packed. TEST is a file (`cache` is test/cache.test.js) or a pattern over the names of tests.
# With --record, only writes the record of the exported types (tests/abi).
set -eu
cd "$(dirname "$0")"
for command in node npm cc; do
    command -v "$command" >/dev/null || { echo "$command is missing (packages nodejs, npm, gcc)" >&2; exit 1; }
done
node -e 'process.exit(parseInt(process.version.slice(1)) < 20 ? 1 : 0)' || { echo "node is too old: 20 or newer" >&2; exit 1; }
cmp -s test/package-lock.json test/node_modules/.installed || {
    (cd test && npm ci --silent --no-audit --no-fund)
    cp test/package-lock.json test/node_modules/.installed
}
if [ "${1-}" = --record ]; then
    exec python3 ../../tests/abi/interface.py node "$@"
fi
cmp -s test/runners/package.json test/runners/node_modules/.installed || {
    (cd test/runners && npm install --silent --no-audit --no-fund --no-package-lock)
    cp test/runners/package.json test/runners/node_modules/.installed
}
if [ $# -gt 0 ]; then
    sh build.sh
    if [ -e "test/$1.test.js" ]; then
        exec node --test "test/$1.test.js"
    fi
    exec node --test --test-name-pattern="$1" test/*.test.js
fi
python3 ../../tests/abi/interface.py node
sh build.sh
sh pack.sh >/dev/null
exec ../../build/venv/bin/python ../../tests/python/conformance_servers.py node --test test/*.test.js
