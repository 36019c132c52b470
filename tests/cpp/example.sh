#!/bin/sh
# Checks the output of examples/cpp and of the first program in the README.
#
# usage: example.sh ROOT C++_COMPILER
set -eu
root=$1 cxx=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset REPLICATE_API_TOKEN CLOUD_WEBHOOK_SECRET SIMPLETUNER_CREDENTIAL_KEY || true
export HOME="$work" HF_TOKEN=hf_CANARY
build() {
    "$cxx" -std=c++17 -O1 -Wall -Wextra -Werror -I"$root/include" "$1" -o "$work/program" -L"$root/build/lib" -lst_secrets \
        -Wl,-rpath,"$root/build/lib"
}

build "$root/examples/cpp/service.cpp"
"$work/program" >"$work/out"
diff - "$work/out" <<'OUT'
HF_TOKEN has 9 bytes
WEBHOOK_PATH is /hooks/replicate, from provider program
REPLICATE_API_TOKEN is nowhere
ST_NOT_FOUND, provide it
user 123 was looked up 1 time, under service:get_user:123
a token of 136 characters holds 12 bytes
OUT
if HF_TOKEN='' "$work/program" >"$work/out" 2>"$work/log"; then
    echo "it succeeded without HF_TOKEN" && exit 1
fi
grep -q 'secret "HF_TOKEN" was not found.*(ST_NOT_FOUND)' "$work/log" || { cat "$work/log" && exit 1; }

# Compiles each C++ block of the README that is a whole program.
sed -n '/^```cpp$/,/^```$/p' "$root/bindings/cpp/README.md" | awk -v out="$work/block" '
    /^```cpp$/ { n++; next } /^```$/ { next } { print > (out n ".cpp") }'
count=0
for block in "$work"/block*.cpp; do
    grep -q 'int main' "$block" || continue
    build "$block"
    "$work/program" >/dev/null
    count=$((count + 1))
done
[ "$count" -gt 0 ] || { echo "the README has no program" && exit 1; }
