#!/bin/sh
# Measures the Node binding, next to other packages. Needs what `make test-node` installs.
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset HF_TOKEN
packages=bindings/node/test/node_modules
[ -d "$packages/lru-cache" ] || (cd bindings/node/test && npm ci --silent --no-audit --no-fund)
sh bindings/node/build.sh
include=$(node -p 'require("path").resolve(process.execPath, "../../include/node")')
[ -e "$include/node_api.h" ] || include=$packages/node-api-headers/include
${CC:-cc} -O3 -Wall -shared -fPIC -I"$include" -o "$work/empty.node" benches/node/empty.c
(umask 077 && echo '{"HF_TOKEN": "hf_0123456789abcdef0123456789abcdef"}' >"$work/secrets.json")
node benches/node/bench.js "$work/empty.node" "$work/secrets.json"
