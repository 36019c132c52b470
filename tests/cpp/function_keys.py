"""Converts tests/vectors/function_keys.json to C++: a call of st::function_key for each vector, and the expected key.

usage: function_keys.py function_keys.json function_keys.cpp
"""

import json
import sys


def text(value):
    return (
        '"' + "".join(chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else f"\\{b:03o}" for b in value.encode()) + '"'
    )


def typed(value):
    """Returns the type of an argument, and the argument."""
    if value is None:
        return "std::nullptr_t", "nullptr"
    if isinstance(value, bool):
        return "bool", "true" if value else "false"
    if isinstance(value, int):
        # The smallest integer has no literal.
        return "long long", f"({value + 1}LL - 1)" if value < 0 else f"{value}LL"
    if isinstance(value, str):
        return "std::string", f"std::string({text(value)})"
    if isinstance(value, list):
        types = [typed(item)[0] for item in value]
        tuple_type = f"std::tuple<{', '.join(types)}>"
        return tuple_type, f"{tuple_type}({', '.join(typed(item)[1] for item in value)})"
    ((kind, inner),) = value.items()
    if kind == "float":
        special = {"nan": 'std::nan("")', "inf": "HUGE_VAL", "-inf": "-HUGE_VAL"}
        return "double", special[inner] if isinstance(inner, str) else repr(inner)
    if kind == "bytes":
        data = bytes.fromhex(inner)
        return "Bytes", "Bytes{" + ", ".join(str(b) for b in data) + "}"
    if kind == "map":
        types = list(dict.fromkeys(typed(item)[0] for item in inner.values())) or ["int"]
        map_type = f"std::map<std::string, std::variant<{', '.join(types)}>>"
        return map_type, map_type + "{" + ", ".join(f"{{{text(k)}, {typed(v)[1]}}}" for k, v in inner.items()) + "}"
    raise ValueError(f"an argument of an unknown kind: {kind}")


def main():
    source, target = sys.argv[1:]
    with open(source, encoding="utf-8") as file:
        vectors = json.load(file)["vectors"]
    with open(target, "w", encoding="utf-8") as file:
        file.write(
            '#include "check.hpp"\n\n#include <cmath>\n#include <map>\n\nusing Bytes = std::vector<unsigned char>;\n\n'
        )
        file.write("static void same(const std::string &key, const char *expected) {\n    if (key != expected) {\n")
        file.write(
            '        check_failed(__FILE__, __LINE__, "%s, not %s", key.c_str(), expected);\n    }\n}\n\nint main() {\n'
        )
        for vector in vectors:
            args = [text(vector["prefix"]), text(vector["function"])]
            args += [typed(arg)[1] for arg in vector["args"]]
            args += [f"st::named({text(name)}, {typed(arg)[1]})" for name, arg in vector.get("named", {}).items()]
            file.write(f"    same(st::function_key({', '.join(args)}), {text(vector['key'])});\n")
        file.write("    return 0;\n}\n")


main()
