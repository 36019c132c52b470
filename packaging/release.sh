#!/bin/sh
# Makes every artefact of a release of the last commit in build/release: the sources, the npm package, the Go module,
# the crate, the source distribution for pip, and for each TARGET, of one build, the C archive, the wheels, the add-on
# for Node, the static archive for Go and, with glibc, the Debian packages; for each of them a bill of materials,
# NAME.cdx.json; and SHA256SUMS. Makes all of them twice, in different directories and with different directories of
# cargo, and fails if they differ in a byte. Uploads nothing. After an interruption, the same command continues with the
# first step that is not complete.
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

unset MAKEFLAGS MAKELEVEL RUSTFLAGS CFLAGS || true
umask 022
# Commits may be made meanwhile.
commit=$(git rev-parse HEAD)
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct "$commit")
export SOURCE_DATE_EPOCH
# Kept until everything is there, for the next run.
work=${TMPDIR:-/var/tmp}/st-release-$commit
mkdir -p "$work"
exec 9>"$work/lock"
flock --nonblock 9 || fail "another one makes a release of this commit, in $work"

# step NAME COMMAND…: runs it in the sources of the build, unless a run before completed it there.
step() {
    [ -e "../done/$1" ] && return
    name=$1
    shift
    echo "make release: $PWD: $name"
    "$@"
    touch "../done/$name"
}
node_package() {
    # Only now, as cargo looks for changes in all directories.
    ln -sfn "$root/bindings/node/test/node_modules" bindings/node/test/node_modules
    # Without targets, the package has the add-on of this machine.
    if [ $# -eq 0 ]; then make addon; fi
    for target in "$@"; do
        make addon "TARGET=$target"
    done
    sh bindings/node/pack.sh
    rm bindings/node/test/node_modules
}
source_packages() {
    mkdir -p build/dist
    python3 -c 'import sys; sys.path.insert(0, "bindings/python"); import backend; backend.build_sdist(sys.argv[1])' build/dist
    cp "target/package/st-secrets-$version.crate" build/dist/
}

# artefacts DIRECTORY TARGET…: makes them in a copy of the commit, DIRECTORY/sources, and puts them into DIRECTORY/out.
artefacts() {
    sources=$1/sources out=$1/out
    mkdir -p "$sources" "$out" "$1/done" "$1/cargo"
    (
        shift
        cd "$sources"
        step sources sh -c "git -C '$root' archive $commit | tar -x"
        mkdir -p build
        ln -sfn "$root/build/zig" build/zig
        # What cargo has downloaded, in another place.
        ln -sfn "${CARGO_HOME:-$HOME/.cargo}/registry" ../cargo/registry
        cargo_home=$(cd ../cargo && pwd)
        export CARGO_HOME="$cargo_home"
        export RUSTFLAGS="--remap-path-prefix=$cargo_home=/cargo --remap-path-prefix=$sources=/st-secrets"
        # Without targets, they are of this machine.
        [ $# -gt 0 ] || step packages make deb
        step source-packages source_packages
        for target in "$@"; do
            case $target in
            *-gnu) step "$target" make dist wheel deb go-archive "TARGET=$target" ;;
            *) step "$target" make dist wheel go-archive "TARGET=$target" ;;
            esac
        done
        step go make go-module
        step node node_package "$@"
        for target in "$@"; do
            cp "build/$target/dist/"* "$out/"
        done
        cp -r build/dist/. "$out/"
    )
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
targets=$*
# of_all FILE [OPTION…]: the bill of an artefact with a build for each target.
of_all() {
    file=$1
    shift
    for target in $targets; do
        set -- "$@" --target "$target"
    done
    bill "$file" "$@"
}
# of_deb FILE [OPTION…]: the bill of a Debian package, which is of this machine without targets
of_deb() {
    [ -z "$targets" ] || set -- "$@" --target "$(target "$1")"
    bill "$@"
}
# target FILE: the target in a name that ends in _MACHINE.whl, -MACHINE.tar.gz or _MACHINE.deb
target() {
    machine=$(echo "$1" | sed 's/.*_amd64\.deb$/x86_64/; s/.*_arm64\.deb$/aarch64/; s/.*-linux-//; s/^musl-//; s/.*linux_[0-9]*_[0-9]*_//; s/\.tar\.gz$//; s/\.whl$//')
    case $1 in
    *-linux-musl-* | *-musllinux_*) echo "$machine-unknown-linux-musl" ;;
    *) echo "$machine-unknown-linux-gnu" ;;
    esac
}
find "$work/first/out" -type f >"$work/files"
while read -r file; do
    name=${file##*/}
    case $name in
    # The archive of each target.
    *.zip) if [ $# -gt 0 ]; then of_all "$file" --features wiping-allocator; else bill "$file" --sources; fi ;;
    *.crate | *-sources.tar.gz | "st_secrets-$version.tar.gz") bill "$file" --sources ;;
    *.tgz) of_all "$file" ;;
    st-secrets_*.deb) of_deb "$file" ;;
    *.deb) of_deb "$file" --features wiping-allocator ;;
    st_secrets-*.whl) bill "$file" --features wiping-allocator --target "$(target "$name")" ;;
    *-linux-*.tar.gz | *.whl) bill "$file" --target "$(target "$name")" ;;
    list | *.info | *.mod) ;; # of the proxy for the Go module
    *) fail "there is no rule for the bill of materials of $name" ;;
    esac
done <"$work/files"
sums "$work/first/out" >"$work/first/out/SHA256SUMS"
rm -rf build/release
mkdir -p build
mv "$work/first/out" build/release
rm -rf "$work"
echo "two builds gave the same bytes; the artefacts are in build/release:"
cat build/release/SHA256SUMS
