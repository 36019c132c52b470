#!/bin/sh
# Builds the add-on prebuilt/PLATFORM/st_secrets.node, linked with the static library. If `make command` has built the
# program st-secrets, puts it there too, with the licences of the code of others. A platform such as linux-x64 or
# linux-arm64-musl is that of `node`; for another one, `make addon TARGET=…` sets CC, and BUILD, ARCH and RUST_TARGET:
# where the library is, the machine, and its name in Rust.
#
# ST_SECRETS_INCLUDE and ST_SECRETS_LIB are the directories of st_secrets.h and libst_secrets.a; the default is this
# repository after `make`. The headers of Node-API come from the installation of `node` or, if it has none, from the npm
# package node-api-headers that test/package-lock.json pins.
set -eu
cd "$(dirname "$0")"
include=${ST_SECRETS_INCLUDE:-../../include}
build=../../${BUILD:-build}
lib=${ST_SECRETS_LIB:-$build/lib}
node_include=$(node -p 'require("path").resolve(process.execPath, "../../include/node")')
[ -e "$node_include/node_api.h" ] || node_include=test/node_modules/node-api-headers/include
case ${ARCH:-$(uname -m)} in
x86_64) platform=linux-x64 ;;
aarch64) platform=linux-arm64 ;;
*) echo "there is no add-on for ${ARCH:-$(uname -m)}" >&2 && exit 1 ;;
esac
case ${RUST_TARGET:-} in *-musl) platform=$platform-musl ;; esac
out=prebuilt/$platform/st_secrets.node
[ -e "$lib/libst_secrets.a" ] || { echo "$lib/libst_secrets.a is missing: run make" >&2; exit 1; }
[ -e "$node_include/node_api.h" ] || {
    echo "the headers of Node-API are missing: (cd bindings/node/test && npm ci)" >&2
    exit 1
}
mkdir -p "$(dirname "$out")"
trap 'rm -f "$(dirname "$out")/exports.map"' EXIT
echo "{ global: napi_*; node_api_*; local: *; };" >"$(dirname "$out")/exports.map"
# The list of exports hides the library's functions from other add-ons. nodelete: unloading the add-on would crash
# workers.
${CC:-cc} -std=gnu11 -D_GNU_SOURCE -O3 -g0 -Wall -Wextra -Werror -fPIC -shared -fvisibility=hidden -fno-plt \
    -I"$include" -I"$node_include" -o "$out" src/*.c "$lib/libst_secrets.a" \
    -Wl,--version-script="$(dirname "$out")/exports.map" -Wl,-z,nodelete -Wl,-z,now -Wl,-z,relro -Wl,--gc-sections -Wl,-s \
    -lutil -lrt -lpthread -lm -ldl -lc
[ -e "$build/bin/st-secrets" ] || exit 0
cp "$build/bin/st-secrets" "prebuilt/$platform/"
# shellcheck disable=SC2086
python3 ../../packaging/third_party.py licenses "prebuilt/$platform/THIRD-PARTY.txt" ${RUST_TARGET:+--target $RUST_TARGET}
