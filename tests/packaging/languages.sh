#!/bin/sh
# Gets a first secret in each language, as a new user would: one command installs the artefact of `make release`,
# without Rust and without a network. Runs in the directory that has the artefacts; what the system lacks is named and
# left out.
set -eu
cd "$(dirname "$0")"
here=$PWD left_out=
export HF_TOKEN=hf_example GOTOOLCHAIN=local
if command -v cargo; then echo "this system has Rust" && exit 1; fi
machine=$(uname -m) libc=musl
for file in /lib/*/libc.so.6 /lib64/libc.so.6; do
    [ ! -e "$file" ] || libc=gnu
done

# has LANGUAGE PROGRAM…: whether the programs are there.
has() {
    language=$1
    shift
    for program in "$@"; do
        command -v "$program" >/dev/null || { left_out="$left_out $language ($program)" && return 1; }
    done
    echo "== $language"
}
# said EXPECTED COMMAND…
said() {
    expected=$1
    shift
    output=$("$@")
    [ "$output" = "$expected" ] || { echo "$* printed: $output; not: $expected" && exit 1; }
}

echo "== the program"
case $libc in
gnu) tar -xzf st_secrets-*-linux-"$machine".tar.gz ;;
musl) tar -xzf st_secrets-*-linux-musl-"$machine".tar.gz ;;
esac
prefix=$(echo "$here"/st_secrets-*/)
prefix=${prefix%/}
said hf_example "$prefix/bin/st-secrets" get HF_TOKEN

if has C cc pkg-config; then
    export PKG_CONFIG_PATH="$prefix/lib/pkgconfig"
    # shellcheck disable=SC2046
    cc app.c $(pkg-config --cflags --libs st_secrets) -Wl,-rpath,"$prefix/lib" -o app
    said "HF_TOKEN: 10 bytes from provider env" ./app
    # shellcheck disable=SC2046
    cc app.c $(pkg-config --cflags --libs --static st_secrets | sed 's/-lst_secrets/-l:libst_secrets.a/') -o static
    said "HF_TOKEN: 10 bytes from provider env" ./static
fi
if has CMake cmake cc make; then
    cmake -S consumer -B consumer/build -DCMAKE_PREFIX_PATH="$prefix" >/dev/null
    cmake --build consumer/build >/dev/null
    for program in consumer/build/with_*_c consumer/build/with_*_cpp; do
        said 6 "$program"
    done
fi
if has C++ c++ pkg-config; then
    # shellcheck disable=SC2046
    c++ -std=c++17 app.cpp $(pkg-config --cflags --libs st_secrets) -o app_cpp
    said "a token of 10 bytes" env LD_LIBRARY_PATH="$prefix/lib" ./app_cpp
fi
if has Python python3; then
    # pip chooses the wheel of this system.
    if python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
        python3 -m venv venv
        venv/bin/python -m pip install --quiet --no-index --find-links . 'st-secrets[command]'
        said hf_example venv/bin/python -c 'import st_secrets; print(st_secrets.get_secrets_manager().get("HF_TOKEN"))'
        said hf_example venv/bin/st-secrets get HF_TOKEN
    else
        left_out="$left_out Python (3.10)"
    fi
fi
if has Node node npm; then
    mkdir node
    (
        cd node
        npm install --silent --no-audit --no-fund --offline ../st-secrets-*.tgz
        said hf_example node -p 'require("st-secrets").Secrets.default.getSync("HF_TOKEN").text()'
        said hf_example npx --offline st-secrets get HF_TOKEN
    )
fi
if has Go go cc; then
    mkdir go
    (
        cd go
        cp ../main.go .
        export GOPROXY="file://$here/go-proxy" GONOSUMDB='*' GOFLAGS=-mod=mod HOME="$here/go"
        go mod init app 2>/dev/null
        go get github.com/st-secrets/st-secrets/bindings/go 2>/dev/null
        tags=st_secrets_prebuilt
        [ $libc = gnu ] || tags=$tags,st_secrets_musl
        PKG_CONFIG=/bin/false go build -tags $tags -o app .
        said "found Secret(***) of 10 bytes" sh -c './app HF_TOKEN | head -n 1'
    )
fi
echo "left out, as the system lacks it:${left_out:- nothing}"
