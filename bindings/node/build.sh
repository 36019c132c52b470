#!/bin/sh
# Builds the add-on prebuilt/linux-x64/st_secrets.node, linked with the static library.
#
# ST_SECRETS_INCLUDE and ST_SECRETS_LIB are the directories of st_secrets.h and libst_secrets.a; the default is this
# repository after `make`. The headers of Node-API come from the installation of `node` or, if it has none, from the npm
# package node-api-headers that test/package-lock.json pins.
set -eu
cd "$(dirname "$0")"
include=${ST_SECRETS_INCLUDE:-../../include}
lib=${ST_SECRETS_LIB:-../../build/lib}
node_include=$(node -p 'require("path").resolve(process.execPath, "../../include/node")')
[ -e "$node_include/node_api.h" ] || node_include=test/node_modules/node-api-headers/include
out=prebuilt/linux-x64/st_secrets.node
[ -e "$lib/libst_secrets.a" ] || { echo "$lib/libst_secrets.a is missing: run make" >&2; exit 1; }
[ -e "$node_include/node_api.h" ] || {
    echo "the headers of Node-API are missing: (cd bindings/node/test && npm ci)" >&2
    exit 1
}
mkdir -p "$(dirname "$out")"
# --exclude-libs hides the library's functions from other add-ons. nodelete: unloading the add-on would crash workers.
${CC:-cc} -std=gnu11 -D_GNU_SOURCE -O3 -g0 -Wall -Wextra -Werror -fPIC -shared -fvisibility=hidden -fno-plt \
    -I"$include" -I"$node_include" -o "$out" src/*.c "$lib/libst_secrets.a" \
    -Wl,--exclude-libs,ALL -Wl,-z,nodelete -Wl,-z,now -Wl,-z,relro -Wl,--gc-sections -Wl,-s \
    -lutil -lrt -lpthread -lm -ldl -lc
