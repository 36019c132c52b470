#!/bin/sh
# Builds the library without remote providers and cluster tier, as docs/linking.md says, and a program with it: it gets
# a variable, a setting that needs more is refused with the name of the feature, and it is small.
set -eu
cd "$(dirname "$0")/../.."
# The program of the README, without debug information: 1.49 MB on x86-64.
most=1500000
build=build/small
make --no-print-directory PROVIDERS=none "BUILD=$build" >"$build.log" 2>&1 || { cat "$build.log" && exit 1; }
rm "$build.log"
sed -n '/^```c$/,/^```$/p' README.md | sed '/^```c$/d; /^```$/,$d' >"$build/app.c"
# program SOURCE PROGRAM
program() {
    cc "$1" -Iinclude "$build/lib/libst_secrets.a" -lutil -lrt -lpthread -lm -ldl -lc -Wl,--gc-sections -s -o "$2"
}
program "$build/app.c" "$build/app"
HF_TOKEN=hf_example "$build/app" | grep -qx 'HF_TOKEN: 10 bytes from provider env'
program tests/packaging/small.c "$build/settings"
# refused FEATURE KEY VALUE…: the settings are refused, with a message that names the feature.
refused() {
    feature=$1
    shift
    message=$("$build/settings" "$@" || :)
    case $message in
    *"cargo feature \`$feature\`"*) ;;
    *) echo "$* gives: $message" && exit 1 ;;
    esac
}
refused vault vault_url https://vault.example.com
refused aws providers '["env", "aws"]'
key=$(head -c 32 /dev/zero | base64)
refused tier share host share_url redis://localhost share_key "$key"
size=$(wc -c <"$build/app")
[ "$(uname -m)" != x86_64 ] || [ "$size" -le "$most" ] || { echo "the program has $size bytes, more than $most" && exit 1; }
echo "a program without remote providers: $size bytes, passed"
