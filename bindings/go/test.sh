#!/bin/sh
# Tests the Go binding with an installed library, and the packed module in an empty environment.
#
# usage: test.sh [REGEXP]      or: test.sh --record [--breaking]
# With REGEXP, only runs `go test -run REGEXP`, with the library of build/lib. With --record, only writes the record of
# the exported declarations (tests/abi).
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
command -v go >/dev/null || {
    echo "go is missing: install Go 1.24 or newer from https://go.dev/dl" >&2
    exit 1
}
if [ $# -gt 0 ]; then
    header=$(cksum <include/st_secrets.h | cut -d ' ' -f 1)
    export CGO_CFLAGS="-O2 -g -I$root/include -DST_HEADER=$header"
    export CGO_LDFLAGS="-L$root/build/lib" LD_LIBRARY_PATH="$root/build/lib" PKG_CONFIG_PATH="$root/build/go"
    export GOTOOLCHAIN=local GOPROXY=off
    # pkg-config finds the library where `make` built it.
    mkdir -p build/go
    printf 'Name: st_secrets\nDescription: st_secrets\nVersion: %s\nLibs: -lst_secrets\n' "$version" >build/go/st_secrets.pc
    if [ "$1" = --record ]; then
        exec python3 tests/abi/interface.py go "$@"
    fi
    cd bindings/go
    exec go test -count=1 -run "$1" .
fi
work=$(mktemp -d)
# Go's module cache is read-only.
trap 'chmod -R u+w "$work" && rm -rf "$work"' EXIT
unset MAKEFLAGS MAKELEVEL LD_LIBRARY_PATH PKG_CONFIG_PATH || true

make -s install PREFIX="$work/prefix" >"$work/log" 2>&1 || { cat "$work/log" && exit 1; }
export PKG_CONFIG_PATH="$work/prefix/lib/pkgconfig" GOTOOLCHAIN=local GOPROXY=off
# Go's build cache ignores changes of the header and of pkg-config's output. The flag names the prefix, which is new.
export CGO_CFLAGS="-O2 -g -DST_PREFIX=$work"
export LD_LIBRARY_PATH="$work/prefix/lib"

sh bindings/coverage.sh go
cd bindings/go
unformatted=$(gofmt -l . ../../examples/go ../../benches/go)
[ -z "$unformatted" ] || { echo "these files need gofmt: $unformatted" >&2 && exit 1; }
go vet ./...
go vet -tags st_secrets_static ./...
python3 "$root/tests/abi/interface.py" go
echo "without cgo, one error says what is missing:"
if CGO_ENABLED=0 go build . 2>"$work/log" || ! grep -q 'needs_cgo.*CGO_ENABLED' "$work/log" ||
    [ "$(grep -c 'go:[0-9]' "$work/log")" != 1 ]; then
    cat "$work/log" && exit 1
fi
echo "with AWS and Vault:"
"$root/build/venv/bin/python" ../../tests/python/conformance_servers.py go test -count=1 .
echo "with the race detector:"
go test -race -short -count=1 .
echo "with checks of the pointers passed to C, and frequent garbage collection:"
GODEBUG=cgocheck=1 GOGC=1 go test -short -count=1 .
echo "with the static archive:"
LD_LIBRARY_PATH='' go test -tags st_secrets_static -short -count=1 .

# needs shared|static PROGRAM: fails unless PROGRAM is linked so.
needs() {
    case $1.$(ldd "$2") in
    shared.*"$work/prefix/lib/libst_secrets.so.0"* | static.*) ;;
    *) echo "$2 does not use the shared library" >&2 && exit 1 ;;
    esac
    case $1.$(ldd "$2") in
    static.*libst_secrets*) echo "$2 uses a shared library" >&2 && exit 1 ;;
    esac
}

# runs shared|static PROGRAM: checks the output of the example.
runs() {
    needs "$1" "$2"
    mkdir -p "$work/home"
    env -i HOME="$work/home" LD_LIBRARY_PATH="$LD_LIBRARY_PATH" HF_TOKEN=hf_example "$2" HF_TOKEN >"$work/said" 2>&1 ||
        { cat "$work/said" && exit 1; }
    diff - "$work/said" <<'SAID' || { echo "$2 printed something else" && exit 1; }
found Secret(***) of 10 bytes
loading user 123
user 123 is Ada
user 123 is Ada
user 123 is Ada
encrypted and decrypted 10 bytes
SAID
    if env -i HOME="$work/home" LD_LIBRARY_PATH="$LD_LIBRARY_PATH" "$2" HF_TOKEN >"$work/said" 2>&1; then
        echo "$2 found a secret that does not exist" && exit 1
    fi
    grep -q "provide HF_TOKEN first" "$work/said" || { cat "$work/said" && exit 1; }
}

echo "the example:"
(cd ../../examples/go && go vet . && go build -o "$work/example" .)
runs shared "$work/example"

echo "the module, packed, fetched and used in an empty environment:"
sh archive.sh build
go run package.go "$version" "$work/proxy"
mkdir "$work/app"
cp ../../examples/go/main.go "$work/app/"
cd "$work/app"
# empty COMMAND…: runs it with nothing from this machine but the compilers.
empty() {
    env -i PATH="$PATH" HOME="$work/nobody" PKG_CONFIG_PATH="$PKG_CONFIG_PATH" GOTOOLCHAIN=local GOPROXY="file://$work/proxy" \
        GONOSUMDB='*' GOFLAGS=-mod=mod "$@"
}
empty go mod init app 2>/dev/null
empty go get "github.com/st-secrets/st-secrets/bindings/go@v$version" 2>/dev/null
empty go build -o "$work/app_shared" .
empty go build -tags st_secrets_static -o "$work/app_static" .
runs shared "$work/app_shared"
LD_LIBRARY_PATH=''
empty env PKG_CONFIG=/bin/false go build -tags st_secrets_prebuilt -o "$work/app_prebuilt" .
runs static "$work/app_static"
runs static "$work/app_prebuilt"
empty go clean -modcache
