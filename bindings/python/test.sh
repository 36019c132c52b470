#!/bin/sh
# Builds the wheels of the package and of the program, installs them into an empty environment of the oldest and of the
# newest Python that is installed, and runs the tests there; with ST_TEST_PYTHONS=all, also of those in between.
# Then checks the shared table of cases with AWS and Vault, the types, and the tests under AddressSanitizer. Needs
# build/lib, build/bin and build/venv.
#
# usage: test.sh [ARGUMENT OF UNITTEST…]      or: test.sh --record [--breaking]
# With arguments, such as `test_cache` or `-k clear test_cache`, only runs these tests, in build/venv and without a
# wheel. With --record, only writes the record of the public interface (tests/abi).
set -eu
cd "$(dirname "$0")/../.."
root=$PWD

if [ $# -gt 0 ]; then
    build/venv/bin/python bindings/python/build.py build/python >/dev/null
    if [ "$1" = --record ]; then
        exec python3 tests/abi/interface.py python "$@"
    fi
    cd bindings/python/tests
    PYTHONPATH=$root/build/python exec "$root/build/venv/bin/python" -X dev -m unittest "$@"
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

wheel=$(build/venv/bin/python bindings/python/build.py build/python build/dist)
command=$(build/venv/bin/python bindings/python/build.py --command build/dist)
echo "built $wheel and $command"
size=$(wc -c <"$wheel")
[ "$size" -lt 4000000 ] || { echo "the wheel has $size bytes, more than 4 MB" && exit 1; }
build/venv/bin/python -m zipfile -l "$wheel" | grep '\.dist-info/licenses/THIRD-PARTY\.txt ' >/dev/null
sh bindings/coverage.sh python

# Prints the interpreters on PATH and those of pyenv, one for each version.
interpreters() {
    for minor in 10 11 12 13 14 15; do
        for python in "$(command -v "python3.$minor" || :)" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3."$minor".*/bin/python3; do
            if [ -x "$python" ] && "$python" -c '' 2>/dev/null; then
                echo "$python"
                break
            fi
        done
    done
}

# tests PYTHON TEST…
tests() {
    python=$1
    shift
    (cd bindings/python/tests && "$python" -X dev -W error::ResourceWarning -W ignore::DeprecationWarning -m unittest "$@")
}

all="test_conformance test_description test_cache test_cache_async test_cache_keys test_shared_cache test_cached test_secrets test_changes \
    test_providers test_async test_store test_credentials test_audit test_simpletuner test_redact test_processes test_misuse test_example \
    test_readme"
found=$(interpreters)
[ -n "$found" ] || { echo "no Python from 3.10 on was found" >&2; exit 1; }
[ "${ST_TEST_PYTHONS-}" = all ] || found=$(printf '%s\n' "$found" | sed -n '1p; 1!{$p}')
# wheel_tests PYTHON VERSION: installs the wheel and tests it.
wheel_tests() {
    "$1" -m venv "$work/$2"
    "$work/$2/bin/python" -m pip install --quiet --disable-pip-version-check --no-index --no-deps "$root/$wheel" "$root/$command"
    # shellcheck disable=SC2016
    HF_TOKEN=hf_example "$work/$2/bin/st-secrets" run HF_TOKEN -- sh -c '[ "$HF_TOKEN" = hf_example ]'
    HF_TOKEN=hf_example "$work/$2/bin/st-secrets" run HF_TOKEN --redact -- sh -c 'echo "$HF_TOKEN"' | grep -qFx '***'
    # shellcheck disable=SC2086
    tests "$work/$2/bin/python" $all
}
# All at once, as the tests wait a lot.
started=
for python in $found; do
    version=$("$python" -c 'import platform; print(platform.python_version())')
    (wheel_tests "$python" "$version") >"$work/$version.log" 2>&1 &
    started="$started $version:$!"
done
failed=
for each in $started; do
    wait "${each#*:}" || failed="$failed ${each%:*}"
    echo "Python ${each%:*}, the wheel in an empty environment:"
    cat "$work/${each%:*}.log"
done
[ -z "$failed" ] || { echo "the tests failed with Python$failed" && exit 1; }

echo "Installed by pip from the sources:"
sh bindings/python/test_pip.sh build/venv/bin/python

echo "The shared table of cases, with AWS and Vault:"
PYTHONPATH="$root/build/python:$root/bindings/python/tests" build/venv/bin/python tests/python/conformance_servers.py \
    build/venv/bin/python -m unittest test_conformance

echo "Metrics, with the client libraries:"
(cd bindings/python/tests && PYTHONPATH="$root/build/python" "$root/build/venv/bin/python" -m unittest test_metrics)

echo "Types:"
(cd bindings/python && MYPYPATH=. "$root/build/venv/bin/mypy" --strict --python-version 3.10 --cache-dir "$root/build/mypy" \
    st_secrets tests/typed.py ../../examples/python/launcher.py)
# Whether they describe what the built module has. A stub need not say which classes of C exclude each other as bases.
(cd build/python && MYPYPATH=. PYTHONPATH=. "$root/build/venv/bin/python" -m mypy.stubtest --ignore-disjoint-bases \
    --allowlist "$root/bindings/python/tests/stubtest.txt" st_secrets)
python3 tests/abi/interface.py python

echo "Under AddressSanitizer:"
asan=$(${CC:-cc} -print-file-name=libasan.so)
[ "$asan" != libasan.so ] || { echo "the compiler has no AddressSanitizer" >&2; exit 1; }
CFLAGS="-O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer" \
    build/venv/bin/python bindings/python/build.py build/python-asan >"$work/built"
export LD_PRELOAD="$asan" PYTHONMALLOC=malloc ASAN_OPTIONS=detect_leaks=0 PYTHONPATH="$root/build/python-asan"
tests "$root/build/venv/bin/python" test_conformance test_cache test_cache_async test_cache_keys test_cached \
    test_secrets test_providers test_async test_store test_credentials test_redact test_misuse.Misuse
