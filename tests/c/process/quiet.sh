#!/bin/sh
# Runs a program, which must succeed without output.
#
# usage: quiet.sh PROGRAM
set -u
# A test runner may ignore signals; the program inherits the default for all of them.
output=$(env --default-signal "$1" 2>&1 </dev/null)
code=$?
if [ "$code" -ne 0 ] || [ -n "$output" ]; then
    printf 'exit code %s, and this output:\n%s\n' "$code" "$output"
    exit 1
fi
