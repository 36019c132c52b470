#!/bin/sh
# Builds the documentation into build/docs: the documents, the C reference (Doxygen) and the Rust reference (rustdoc).
# Missing tools are installed, or a message says how to get them. Open build/docs/index.html; no server is needed.
set -eu
cd "$(dirname "$0")/../.."
site=build/docs
tools=build/docs-tools
mermaid=11.17.2
mermaid_sha256=581ed7d74bd9048d0e3a91363927d72ef22942d7722546b27f7cc29e35390eb8

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

command -v python3 >/dev/null || fail "python3 is missing (packages python3, python3-venv)"
command -v npm >/dev/null || fail "npm is missing: install Node 20 or newer from https://nodejs.org; it fetches mermaid, which draws diagrams"
if ! command -v doxygen >/dev/null; then
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        echo "installing: doxygen" >&2
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq
        apt-get install -y -qq --no-install-recommends doxygen >/dev/null
    else
        fail "doxygen is missing: install the package doxygen (as root on Debian, this script does it)"
    fi
fi

mkdir -p "$tools"
if ! cmp -s docs/site/requirements.txt "$tools/installed.txt"; then
    echo "installing into $tools: markdown-it-py, Pygments" >&2
    python3 -m venv --clear "$tools/venv"
    "$tools/venv/bin/python" -m pip install --quiet --disable-pip-version-check --retries 5 -r docs/site/requirements.txt ||
        fail "cannot install the Python packages of docs/site/requirements.txt (the message of pip is above); try again: make docs"
    cp docs/site/requirements.txt "$tools/installed.txt"
fi
if [ ! -e "$tools/mermaid-$mermaid.js" ]; then
    echo "installing into $tools: mermaid $mermaid" >&2
    (cd "$tools" && npm pack --silent "mermaid@$mermaid" >/dev/null) ||
        fail "cannot fetch mermaid $mermaid from the npm registry; try again: make docs"
    tar -xzOf "$tools/mermaid-$mermaid.tgz" package/dist/mermaid.min.js >"$tools/mermaid.js"
    rm "$tools/mermaid-$mermaid.tgz"
    echo "$mermaid_sha256  $tools/mermaid.js" | sha256sum --check --quiet || fail "mermaid $mermaid is not the file that is expected"
    mv "$tools/mermaid.js" "$tools/mermaid-$mermaid.js"
fi

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
rm -rf "$site"
mkdir -p "$site/c" "$site/rust"
# The first comment of the header: what holds for every function.
{
    echo '# Conventions'
    echo
    echo '<a href="../index.html">Back to the guide</a>. All functions: @ref st_secrets.h.'
    sed -n '/^\/\*$/,/^ \*\/$/{ /^\/\*$/d; /^ \*\/$/q; s/^ \* \{0,1\}//; p; }' include/st_secrets.h
} >"$tools/conventions.md"
(cat docs/site/Doxyfile && echo "PROJECT_NUMBER = $version") | doxygen -
rm -rf target/doc
cargo doc --quiet --locked --no-deps --lib
cp -r target/doc/. "$site/rust/"
cp "$tools/mermaid-$mermaid.js" "$site/mermaid.js"
cp docs/site/style.css "$site/style.css"
PYTHONPATH=tests/docs PYTHONDONTWRITEBYTECODE=1 "$tools/venv/bin/python" docs/site/build.py "$site" "$version"
echo "$PWD/$site/index.html"
