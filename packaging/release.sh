#!/bin/sh
# Makes every artefact of a release of the last commit in build/release: the sources, the Debian packages, the npm
# package, the Go module, the crate, the source distribution for pip, and for each TARGET the C archive and the wheel;
# for each of them a bill of materials, NAME.cdx.json; and SHA256SUMS. Makes all of them twice, in different directories
# and with different directories of cargo, and fails if they differ in a byte. Uploads nothing.
#
# usage: release.sh VERSION [TARGET…]
set -eu
cd "$(dirname "$0")/.."
root=$PWD version=$1
shift
fail() {
    echo "make release: $*" >&2
    exit 1
}

for program in rustc npm go python3 dpkg-buildpackage lintian; do
    command -v "$program" >/dev/null || fail "$program is missing, which some artefact needs"
done
for target in "$@"; do
    directory=$(rustc --print target-libdir --target "$target" 2>/dev/null) || fail "$target is not a target of Rust, see: rustc --print target-list"
    [ -d "$directory" ] || fail "Rust's standard library for $target is missing: rustup target add $target"
done
[ -z "$(git status --porcelain)" ] || fail "the working tree has changes: commit or remove them, as a release is made of a commit"
for target in "$@"; do
    sh packaging/zig.sh "$target"
done
(cd bindings/node/test && npm ci --silent --no-audit --no-fund)
cargo fetch --quiet --locked

work=$(mktemp -d "${TMPDIR:-/var/tmp}/st-release.XXXXXX")
trap 'rm -rf "$work"' EXIT
unset MAKEFLAGS MAKELEVEL RUSTFLAGS CFLAGS || true
umask 022
# Commits may be made meanwhile.
commit=$(git rev-parse HEAD)
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct "$commit")
export SOURCE_DATE_EPOCH

# artefacts DIRECTORY TARGET…: makes them in a copy of the commit, DIRECTORY/sources, and puts them into DIRECTORY/out.
artefacts() {
    sources=$1/sources out=$1/out
    mkdir -p "$sources" "$out"
    (
        shift
        git archive "$commit" | tar -x -C "$sources"
        cd "$sources"
        mkdir -p build ../cargo
        ln -s "$root/build/zig" build/zig
        # What cargo has downloaded, in another place.
        ln -s "${CARGO_HOME:-$HOME/.cargo}/registry" ../cargo/registry
        cargo_home=$(cd ../cargo && pwd)
        export CARGO_HOME="$cargo_home"
        export RUSTFLAGS="--remap-path-prefix=$cargo_home=/cargo --remap-path-prefix=$sources=/st-secrets"
        make command deb go-module
        # Only now, as cargo looks for changes in all directories.
        ln -s "$root/bindings/node/test/node_modules" bindings/node/test/node_modules
        make dist-node
        rm bindings/node/test/node_modules
        python3 -c 'import sys; sys.path.insert(0, "bindings/python"); import backend; backend.build_sdist(sys.argv[1])' build/dist
        cp "target/package/st-secrets-$version.crate" build/dist/
        for target in "$@"; do
            make dist "TARGET=$target"
            case $target in *-musl) ;; *) make wheel "TARGET=$target" ;; esac
            mv "build/$target/dist/"* build/dist/
        done
        mv build/dist/* "$out/"
    )
    rm -rf "$sources"
    git archive --prefix="st-secrets-$version/" "$commit" | gzip -9 -n >"$out/st-secrets-$version-sources.tar.gz"
}

# sums DIRECTORY
sums() {
    (cd "$1" && find . -type f ! -name SHA256SUMS | sed 's|^\./||' | LC_ALL=C sort | xargs sha256sum)
}

artefacts "$work/first" "$@"
artefacts "$work/another/place" "$@"
sums "$work/first/out" >"$work/first.sums"
sums "$work/another/place/out" >"$work/second.sums"
diff "$work/first.sums" "$work/second.sums" || fail "these artefacts differ between two builds of the same commit"

# bill FILE [OPTION…]
bill() {
    file=$1
    shift
    python3 packaging/third_party.py sbom "$file" "$file.cdx.json" "$@"
}
# machine FILE: the machine in a name that ends in _MACHINE.whl or -MACHINE.tar.gz
machine() {
    echo "$1" | sed 's/.*-linux-//; s/^musl-//; s/.*manylinux_[0-9]*_[0-9]*_//; s/\.tar\.gz$//; s/\.whl$//'
}
find "$work/first/out" -type f >"$work/files"
while read -r file; do
    name=${file##*/}
    case $name in
    *.crate | *-sources.tar.gz | *.zip | "st_secrets-$version.tar.gz") bill "$file" --sources ;;
    st-secrets_*.deb | *.tgz) bill "$file" ;;
    *.deb) bill "$file" --features wiping-allocator ;;
    *-linux-musl-*.tar.gz) bill "$file" --target "$(machine "$name")-unknown-linux-musl" ;;
    *-linux-*.tar.gz | *.whl) bill "$file" --target "$(machine "$name")-unknown-linux-gnu" ;;
    list | *.info | *.mod) ;; # of the proxy for the Go module
    *) fail "there is no rule for the bill of materials of $name" ;;
    esac
done <"$work/files"
sums "$work/first/out" >"$work/first/out/SHA256SUMS"
rm -rf build/release
mkdir -p build
mv "$work/first/out" build/release
echo "two builds gave the same bytes; the artefacts are in build/release:"
cat build/release/SHA256SUMS
