"""Turns tests/vectors/conformance.json into the tables of conformance.h, so that the runners in C and C++ need no JSON.
What the file has and the table cannot hold is an error.

usage: table.py conformance.json conformance_table.h
"""
import json
import sys

FACTS = ["source", "info", "existed", "count", "length", "changed", "loaded", "failed", "entries", "max_size", "evictions",
         "default_ttl"]
FLAGS = {"refresh": "ST_GET_REFRESH", "cached_only": "ST_GET_CACHED_ONLY"}
INFO = {"stale": "ST_SECRET_STALE", "cached": "ST_SECRET_CACHED", "degraded": "ST_SECRET_DEGRADED"}
# What is the first and the second text of a step, by any of these names.
KEYS = ["key", "name", "prefix", "path", "provider", "token"]
VALUES = ["value", "text"]
NUMBERS = ["ttl", "seconds", "user_id"]


def quoted(data):
    return '"' + "".join(chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else f"\\{b:03o}" for b in data) + '"'


def text(value):
    if value is None:
        return "{NULL, 0}"
    data = value if isinstance(value, bytes) else value.encode()
    return f"{{{quoted(data)}, {len(data)}}}"


def name(value):
    return quoted(value.encode())


def number(value):
    return "INFINITY" if value == "inf" else repr(float(value))


def bits(names, table):
    return " | ".join(table[each] for each in names) or "0"


def expectation(given):
    given = dict(given)
    status = given.pop("status", "ST_OK")
    value = bytes.fromhex(given.pop("hex")) if "hex" in given else given.pop("value", None)
    layer = given.pop("layer", None)
    given.update(given.pop("stats", {}))
    facts = []
    for fact in FACTS:
        told = given.pop(fact, None)
        facts.append("NAN" if told is None else f"(double)({bits(told, INFO)})" if fact == "info" else number(told))
    assert not given, f"an expectation that the table cannot hold: {given}"
    return f"{{{status}, {text(value)}, {text(layer)}, {{{', '.join(facts)}}}}}"


class Tables:
    def __init__(self):
        self.lines = []
        self.count = 0

    def array(self, kind, items):
        """An array of these initializers; its name."""
        if not items:
            return "NULL"
        self.count += 1
        array = f"{kind}_{self.count}"
        self.lines.append(f"static const {kind} {array}[] = {{\n    " + ",\n    ".join(items) + ",\n};")
        return array

    def entries(self, given):
        items = []
        for key, value in given.items():
            mode = "0"
            if isinstance(value, dict):
                mode, value = "0" + value["mode"], value["text"]
            elif not isinstance(value, str):
                value = json.dumps(value)
            items.append(f"{{{name(key)}, {text(value)}, {mode}}}")
        return f"{self.array('entry', items)}, {len(items)}"

    def answers(self, given):
        return [f"{{{text(key)}, {text(one.get('value'))}, {one.get('status', 'ST_OK')}}}" for key, one in given.items()]

    def step(self, given):
        given = dict(given)
        action = given.pop("do")
        key = next((given.pop(each) for each in KEYS if each in given), None)
        value = next((given.pop(each) for each in VALUES if each in given), None)
        told = next((number(given.pop(each)) for each in NUMBERS if each in given), "ST_TTL_DEFAULT")
        flags = "0" + given.pop("mode") if "mode" in given else bits(given.pop("flags", []), FLAGS)
        position = given.pop("position", 0)
        keys = [text(each) for each in given.pop("keys", [])]
        answers = self.answers({None: given.pop("load")} if "load" in given else given.pop("answers", {}))
        expect = dict(given.pop("expect", {}))
        results = [expectation(each) for each in expect.pop("results", [])]
        assert not given, f"a step that the table cannot hold: {given}"
        return (f"{{{name(action)}, {text(key)}, {text(value)}, {told}, {flags}, {'ST_LAST' if position == 'last' else position}, "
                f"{self.array('text', keys)}, {self.array('answer', answers)}, {len(keys) or len(answers)}, "
                f"{expectation(expect)}, {self.array('expectation', results)}}}")

    def case(self, given):
        opened = dict(given.get("open", {}))
        expect = expectation(opened.pop("expect", {}))
        assert len(opened) <= 1, f"more than one thing to open: {opened}"
        kind, settings = next(iter(opened.items()), (None, {}))
        cache = settings if kind == "cache" else {"default_ttl": 0, "max_size": 0, "cleanup_interval": 0}
        cache = ", ".join(number(cache[each]) for each in ("default_ttl", "max_size", "cleanup_interval"))
        steps = [self.step(each) for each in given["steps"]]
        unknown = set(given) - {"name", "env", "files", "open", "steps"}
        assert not unknown, f"a case that the table cannot hold: {unknown}"
        return (f"{{{name(given['name'])}, {self.entries(given.get('env', {}))}, {self.entries(given.get('files', {}))}, "
                f"{name(kind) if kind else 'NULL'}, {self.entries(settings if kind != 'cache' else {})}, {cache}, {expect}, "
                f"{self.array('step', steps)}, {len(steps)}}}")


def main():
    source, target = sys.argv[1:]
    with open(source, encoding="utf-8") as file:
        cases = json.load(file)["cases"]
    tables = Tables()
    cases = [tables.case(each) for each in cases]
    tables.lines.append("static const example examples[] = {\n    " + ",\n    ".join(cases) + ",\n};")
    with open(target, "w", encoding="utf-8") as file:
        file.write("\n".join(["/* Made by table.py. */", *tables.lines, ""]))


main()
