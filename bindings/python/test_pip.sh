#!/bin/sh
# Checks what pip does with the sources: a source distribution that is complete and installs, an editable install whose
# edits count, and a message that names what is missing. The library is the one in build, as its build takes minutes.
#
# usage: test_pip.sh PYTHON     (in the root of the project)
set -eu
python=$1
root=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset PYTHONPATH

pack() {
    "$python" -c 'import sys; sys.path.insert(0, "bindings/python"); import backend; print(backend.build_sdist(sys.argv[1]))' "$1"
}

# install DIRECTORY ENVIRONMENT [OPTION]: installs the sources in a directory into an empty environment.
install() {
    "$python" -m venv "$2"
    "$2/bin/python" -m pip install --quiet --disable-pip-version-check --no-index --no-deps ${3:+"$3"} "$1"
}

# works ENVIRONMENT: gets a secret with the package of an environment.
works() {
    (cd "$work" && HF_TOKEN=hf_example "$1/bin/python" -c \
        'from st_secrets.secrets import get_secrets_manager as m; assert m().get("HF_TOKEN") == "hf_example"')
}

# Compared with the files of git, so that a file that a build leaves among them is found.
mkdir "$work/first" "$work/second"
archive=$(pack "$work/first")
pack "$work/second" >/dev/null
cmp "$work/first/$archive" "$work/second/$archive" || { echo "two source distributions of one tree differ" && exit 1; }
tar -xzf "$work/first/$archive" -C "$work"
sources=$work/${archive%.tar.gz}
(cd "$sources" && find . -type f | sed 's|^\./||' | grep -v '^PKG-INFO$' | sort) >"$work/packed"
git ls-files --cached --others --exclude-standard src include examples packaging 'docs/*.md' 'docs/*.svg' build.rs .cargo \
    cbindgen.toml Makefile Cargo.toml Cargo.lock README.md ARCHITECTURE.md CHANGELOG.md CONTRIBUTING.md RELEASING.md SECURITY.md 'LICENSE-*' \
    pyproject.toml bindings/python/README.md bindings/python/backend.py bindings/python/build.py bindings/python/src \
    bindings/python/st_secrets | grep -v '^docs/.*/' | sort | diff - "$work/packed" ||
    { echo "the source distribution has other files than expected (<: missing, >: too many)" && exit 1; }
${CARGO:-cargo} metadata --quiet --format-version 1 --locked --offline --manifest-path "$sources/Cargo.toml" >/dev/null

# Newer than the sources, so that make has nothing to build.
mkdir "$sources/build"
cp -R build/lib "$sources/build"
: >"$sources/build/st_secrets_raw.a"
find "$sources/build" -type f -exec touch {} +
install "$sources" "$work/installed"
works "$work/installed"

install . "$work/editable" -e
works "$work/editable"
(cd "$work" && "$work/editable/bin/python" -c 'import st_secrets; print(st_secrets.__file__)') >"$work/where"
real=$(realpath "$(cat "$work/where")")
[ "$real" = "$root/bindings/python/st_secrets/__init__.py" ] ||
    { echo "the editable install imports $real, not the file of the sources" && exit 1; }

if PATH=$work/empty "$(realpath "$python")" -c \
    'import sys; sys.path.insert(0, "bindings/python"); import backend; backend.make()' 2>"$work/message"; then
    echo "a build without make succeeds" && exit 1
fi
grep -q '^make is missing: .*rustup' "$work/message" || { cat "$work/message" && exit 1; }

# What the build reads from pyproject.toml is what a TOML parser reads.
"$python" - <<'PYTHON'
import sys, tomllib

sys.path.insert(0, "bindings/python")
import build

with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)["project"]
urls = project.pop("urls")
assert build.table("project") == project, build.table("project")
assert build.table("project.urls") == urls, build.table("project.urls")

# A free-threaded Python, which is simulated, is refused.
build.sysconfig.get_config_var = lambda name: 1 if name == "Py_GIL_DISABLED" else None
try:
    build.headers()
except SystemExit as end:
    assert "free-threaded" in str(end), end
else:
    raise AssertionError("a free-threaded Python is not refused")
PYTHON
