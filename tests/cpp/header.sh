#!/bin/sh
# Checks that the wrapper and each of its parts compile alone, in every version of C++ from 17 on, with and without
# exceptions, with all warnings as errors; and that what must not compile does not.
#
# usage: header.sh INCLUDE_DIR C++_COMPILER
set -eu
include=$1 cxx=$2
warnings="-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wundef -Wnon-virtual-dtor -Wold-style-cast -Weffc++ -Werror"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

compile() {
    # shellcheck disable=SC2086
    "$cxx" $warnings -I"$include" -fsyntax-only -xc++ "$@"
}
printf '#include <st_secrets.hpp>\n#include <st_secrets.hpp>\n' >"$work/whole.cpp"
for standard in c++17 c++20 c++2b; do
    for without in "" "-fno-exceptions -fno-rtti"; do
        # shellcheck disable=SC2086
        compile -std=$standard $without "$work/whole.cpp" || {
            echo "failed: $cxx -std=$standard $without"
            failed=1
        }
    done
done
for part in "$include"/st_secrets/*.hpp; do
    printf '#include <st_secrets/%s>\n' "$(basename "$part")" >"$work/part.cpp"
    compile -std=c++17 "$work/part.cpp" || {
        echo "failed: $part alone"
        failed=1
    }
done

printf '#include <st_secrets.hpp>\n' >"$work/old.cpp"
if compile -std=c++14 "$work/old.cpp" 2>"$work/log" || ! grep -q 'needs C++17 or later' "$work/log"; then
    echo "C++14 is not refused with the remedy"
    failed=1
fi
# Where the standard library has std::expected.
cat >"$work/expected.cpp" <<'CODE'
#include <st_secrets.hpp>
#ifdef __cpp_lib_expected
std::string f(st::Secrets &secrets) {
    std::expected<st::Bytes, st::Failure> value = secrets.try_get("A").expected();
    return value ? std::string(value->view()) : value.error().message();
}
bool g(st::Secrets &secrets) { return secrets.try_set("A", "x").expected().has_value(); }
#endif
CODE
compile -std=c++2b "$work/expected.cpp" || {
    echo "failed: $cxx with std::expected"
    failed=1
}

# What the programs below begin with, compiled once. Both compilers look for the file of this name when they include it.
printf '#include <st_secrets.hpp>\n#include <iostream>\nstruct Own {};\nvoid f(st::Secrets &secrets, st::Cache &cache);\n' >"$work/it.hpp"
# shellcheck disable=SC2086
"$cxx" $warnings -I"$include" -std=c++17 -xc++-header -o "$work/it.hpp.gch" "$work/it.hpp"

# program CODE: compiles a function that contains CODE.
program() {
    printf 'void f(st::Secrets &secrets, st::Cache &cache) {\n    %s\n    (void)secrets, (void)cache;\n}\n' "$1" >"$work/it.cpp"
    compile -std=c++17 -include "$work/it.hpp" "$work/it.cpp" 2>"$work/log"
}
refused() {
    if program "$1"; then
        echo "this was not rejected: $1"
        failed=1
    elif ! grep -q "$2" "$work/log"; then
        echo "the error does not contain \"$2\": $1"
        cat "$work/log"
        failed=1
    fi
}
program 'std::cout << secrets.get("A").view();' || {
    cat "$work/log"
    echo "code that must compile does not"
    failed=1
}
# Secrets cannot be printed by mistake, and handles cannot be copied.
refused 'std::cout << secrets.get("A");' 'delete'
refused 'std::wcout << secrets.get("A");' 'delete'
refused 'std::string text = secrets.get("A");' 'Bytes'
refused 'st::Bytes a = secrets.get("A"); st::Bytes b = a;' 'delete'
refused 'st::Secrets other = secrets;' 'delete'
refused 'st::Cache other = cache;' 'delete'
# Results cannot be ignored.
refused 'secrets.try_get("A");' 'nodiscard'
# Errors have readable messages.
refused '(void)st::function_key("m", "f", Own());' 'pass what stands for it'
refused "(void)st::function_key(\"m\", \"f\", 'c');" 'text or a number'
refused 'secrets.add_provider("mine", [](std::string_view) { return 5; });' 'returns text'
refused 'secrets.add_provider("mine", [] { return "x"; });' 'takes (std::string_view key)'
refused 'st::cached([](int) {}, {"f"})(1);' 'nothing to cache'
refused 'st::cached([n = 0](int) mutable { return ++n; }, {"f"})(1);' 'called as const'
refused 'st::cached([](int) { return std::make_unique<int>(1); }, {"f"})(1);' 'a copy of the result'
refused '(void)st::Config().strict_permissions(true).timeout(5);' 'Seconds\|duration'
exit $failed
