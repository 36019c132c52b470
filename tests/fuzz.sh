#!/bin/sh
# Runs the fuzzers of `fuzz`. usage: fuzz.sh SECONDS [TARGET…]; SECONDS is the time of each, and without targets all
# run. A finding is kept in fuzz/artifacts, and the message says how to repeat it. New inputs are kept in fuzz/corpus.
set -eu
cd "$(dirname "$0")/.."
seconds=$1
shift
version=0.13.2
tools=$PWD/build/cargo
command -v clang++ >/dev/null || command -v c++ >/dev/null || {
    echo "a C++ compiler is missing, which libFuzzer needs; on Debian: apt-get install g++" >&2
    exit 1
}
if ! "$tools/bin/cargo-fuzz" --version 2>/dev/null | grep -q " $version\$"; then
    echo "installing into $tools: cargo-fuzz $version" >&2
    cargo install --quiet --locked --root "$tools" --version "$version" cargo-fuzz
fi
PATH=$tools/bin:$PATH
# The sanitizer needs options of an unstable compiler.
export RUSTC_BOOTSTRAP=1

dictionary() {
    case $1 in
    config | json_file | stored_json | exec_output) echo json ;;
    yaml_file) echo yaml ;;
    dotenv) echo dotenv ;;
    credential_file) echo ini ;;
    aws_response) echo aws ;;
    vault_response) echo vault ;;
    http_response | http_headers) echo http ;;
    url) echo url ;;
    function_key | c_abi) echo function_key ;;
    esac
}

# shellcheck disable=SC2046
[ $# -gt 0 ] || set -- $(cargo fuzz list)
cargo fuzz build
for target; do
    mkdir -p "fuzz/corpus/$target"
    seeds=
    [ ! -d "fuzz/seeds/$target" ] || seeds=fuzz/seeds/$target
    words=$(dictionary "$target")
    echo "$target: $seconds s"
    # shellcheck disable=SC2086
    cargo fuzz run "$target" "fuzz/corpus/$target" $seeds -- ${words:+-dict=fuzz/dictionaries/$words.dict} \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 2>"build/fuzz-$target.log" || {
        tail -n 40 "build/fuzz-$target.log" >&2
        echo "$target: FAILED; the log is build/fuzz-$target.log" >&2
        exit 1
    }
    grep -E 'number_of_executed_units|average_exec_per_sec' "build/fuzz-$target.log"
done
