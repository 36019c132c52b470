#!/bin/sh
# Measures calls from Python, next to other packages. Needs build/lib.
set -eu
cd "$(dirname "$0")/.."
sh tests/python-tools.sh
build/venv/bin/python bindings/python/build.py build/python >/dev/null
PYTHONPATH=build/python build/venv/bin/python benches/python.py
