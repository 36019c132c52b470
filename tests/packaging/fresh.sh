#!/bin/sh
# Installs artefacts of a release into a fresh system, and gets a secret with each: the C archive, the wheels, the npm
# package and the Go module. ROOT is a Debian of debootstrap, with gcc, libc6-dev, pkg-config, python3 and python3-venv;
# Node and Go are those of this machine. Nothing in ROOT has Rust. RELEASE is what `make release` has written. With
# `musl`, which needs Debian's packages musl-tools and binutils in ROOT, it is the C archive for musl alone.
#
# usage: fresh.sh ROOT RELEASE [musl]       as root
set -eu
root=$(realpath "$1") release=$(realpath "$2") kind=${3:-}
cd "$(dirname "$0")/../.."
if [ "${ST_TEST_UNSHARED:-}" != yes ]; then
    ST_TEST_UNSHARED=yes exec unshare --mount sh "tests/packaging/${0##*/}" "$root" "$release" $kind
fi
machine=$(uname -m) work=$root/opt/st-fresh
rm -rf "$work"
mkdir -p "$work/go" "$work/release" "$work/home"
mount -t proc none "$root/proc"
mount --bind /dev "$root/dev"
mount --bind "$release" "$work/release"
cp tests/c/install/consumer/main.c "$work/"
node=$(command -v node || :) go=$(realpath "$(command -v go || echo /)")
# Node's program needs the C++ library of its machine.
if [ -z "$kind" ] && [ -n "$node" ]; then
    mkdir "$work/node"
    cp "$node" "$work/node/"
    ldd "$node" | sed -n 's/.*\(libstdc++\.so[^ ]*\) => \([^ ]*\).*/\2/p' | xargs -r cp -Lt "$work/node"
fi
[ -n "$kind" ] || [ "$go" = / ] || mount --bind "${go%/bin/go}" "$work/go"
cat >"$work/inside.sh" <<'SCRIPT'
set -eu
cd /opt/st-fresh
export HOME=/opt/st-fresh/home HF_TOKEN=hf_example PATH=/usr/sbin:/usr/bin:/sbin:/bin
if command -v cargo; then echo "Rust is installed" && exit 1; fi
libs='-lutil -lrt -lpthread -lm -ldl'
if [ "$KIND" = musl ]; then
    tar -xzf release/st_secrets-*-linux-musl-"$MACHINE".tar.gz
    cd st_secrets-*
    musl-gcc -static -Iinclude ../main.c lib/libst_secrets.a -o ../static
    [ "$(../static)" = 6 ]
    [ "$(./bin/st-secrets get HF_TOKEN)" = hf_example ]
    echo "C for musl: passed"
    exit 0
fi
tar -xzf release/st_secrets-*-linux-"$MACHINE".tar.gz
(
    cd st_secrets-*-linux-"$MACHINE"
    PKG_CONFIG_PATH=$PWD/lib/pkgconfig
    export PKG_CONFIG_PATH
    # shellcheck disable=SC2046
    cc ../main.c $(pkg-config --cflags --libs st_secrets) -o ../shared
    [ "$(LD_LIBRARY_PATH=lib ../shared)" = 6 ]
    # shellcheck disable=SC2086
    cc -Iinclude ../main.c lib/libst_secrets.a $libs -o ../static
    [ "$(../static)" = 6 ]
    [ "$(./bin/st-secrets get HF_TOKEN)" = hf_example ]
)
echo "C: passed"
if python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
    python3 -m venv python
    python/bin/pip install --quiet --disable-pip-version-check --no-index --no-deps \
        release/st_secrets-*-manylinux_*_"$MACHINE".whl release/st_secrets_command-*-manylinux_*_"$MACHINE".whl
    python/bin/python -c 'from st_secrets.secrets import get_secrets_manager as m; assert m().get("HF_TOKEN") == "hf_example"'
    [ "$(python/bin/st-secrets get HF_TOKEN)" = hf_example ]
    echo "Python: passed"
else
    echo "Python: not tried, $(python3 --version) is older than 3.10"
fi
if [ -d node ] && LD_LIBRARY_PATH=node node/node --version >/dev/null 2>&1; then
    # As npm unpacks it.
    mkdir -p app/node_modules/st-secrets
    tar -xzf release/st-secrets-*.tgz -C app/node_modules/st-secrets --strip-components=1
    cd app
    script='require("st-secrets").Secrets.default.get("HF_TOKEN").then((secret) => console.log(secret.text()))'
    [ "$(LD_LIBRARY_PATH=../node ../node/node -e "$script")" = hf_example ]
    [ "$(node_modules/st-secrets/lib/st-secrets.sh get HF_TOKEN)" = hf_example ]
    cd ..
    echo "Node: passed"
else
    echo "Node: not tried, that of this machine does not run here"
fi
if [ -x go/bin/go ]; then
    mkdir goapp
    cd goapp
    cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"

	stsecrets "github.com/st-secrets/st-secrets/bindings/go"
)

func main() {
	secret, err := stsecrets.Default().Get(context.Background(), stsecrets.KeyHFToken)
	if err != nil {
		panic(err)
	}
	_ = secret.Use(func(value []byte) { fmt.Println(len(value)) })
}
GO
    export GOPROXY="file:///opt/st-fresh/release/go" GONOSUMDB='*' GONOSUMCHECK=1 GOFLAGS=-mod=mod GOTOOLCHAIN=local GOROOT=/opt/st-fresh/go
    ../go/bin/go mod init example.com/app 2>/dev/null
    ../go/bin/go get github.com/st-secrets/st-secrets/bindings/go 2>/dev/null
    ../go/bin/go build -tags st_secrets_prebuilt -o app .
    [ "$(./app)" = 10 ]
    echo "Go, with the prebuilt archive: passed"
fi
SCRIPT
KIND=$kind MACHINE=$machine chroot "$root" sh /opt/st-fresh/inside.sh
