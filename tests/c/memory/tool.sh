#!/bin/sh
# Runs a program with a mistake under a memory tool, which must fail and name the mistake.
#
# usage: tool.sh MISTAKE asan|valgrind COMMAND…
set -u
mistake=$1 tool=$2
shift 2
output=$("$@" "$mistake" 2>&1)
code=$?
case $tool.$mistake in
*.none) expected= ;;
asan.read-past-a-value) expected='heap-buffer-overflow' ;;
asan.write-past-a-buffer) expected='heap-buffer-overflow' ;;
asan.use-after-free) expected='heap-use-after-free' ;;
asan.leak) expected='LeakSanitizer: detected memory leaks' ;;
valgrind.read-past-a-value) expected='Invalid read' ;;
valgrind.write-past-a-buffer) expected='Invalid write' ;;
valgrind.use-after-free) expected='Invalid read' ;;
valgrind.leak) expected='definitely lost' ;;
*) echo "unknown mistake $mistake" && exit 1 ;;
esac
if [ -z "$expected" ]; then
    [ "$code" -eq 0 ] && [ -z "$output" ] && exit 0
    echo "a correct program failed (exit code $code):"
elif [ "$code" -eq 0 ]; then
    echo "$tool did not detect: $mistake"
else
    case $output in
    *"$expected"*) exit 0 ;;
    esac
    echo "exit code $code, without '$expected':"
fi
echo "$output"
exit 1
