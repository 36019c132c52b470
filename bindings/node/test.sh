#!/bin/sh
# Runs the tests of the binding. They need the library (`make`), Node 20 or newer, a C compiler, and the npm packages that
# test/package-lock.json pins, which are installed once. AWS and Vault are those that tests/python-tools.sh installs.
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
sh pack.sh >/dev/null
exec ../../build/venv/bin/python ../../tests/python/conformance_servers.py node --test test/*.test.js
