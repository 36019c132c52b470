"""Converts tests/vectors/conformance.json to the tables of conformance.h, so that the runners in C and C++ need no
JSON.

usage: table.py conformance.json conformance_table.h
"""

import json
import sys

FLAGS = {"refresh": "ST_GET_REFRESH", "cached_only": "ST_GET_CACHED_ONLY"}
INFO = {
    "stale": "ST_SECRET_STALE",
    "cached": "ST_SECRET_CACHED",
    "degraded": "ST_SECRET_DEGRADED",
    "shared": "ST_SECRET_SHARED",
}


def quoted(data):
    return '"' + "".join(chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else f"\\{b:03o}" for b in data) + '"'


def name(value):
    return quoted(value.encode())


def text(value):
    if value is None:
        return "{NULL, 0}"
    data = value if isinstance(value, bytes) else value.encode()
    return f"{{{quoted(data)}, {len(data)}}}"


def bits(names, table):
    return " | ".join(table[each] for each in names) or "0"


def field(key, value):
    """Returns a text or a number. Other values are passed to the library as JSON."""
    if value == "inf":
        return f"{{{name(key)}, {text(value)}, INFINITY}}"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"{{{name(key)}, {text(json.dumps(value))}, {float(value)!r}}}"
    return f"{{{name(key)}, {text(value if isinstance(value, str) else json.dumps(value))}, 0.0}}"


class Tables:
    def __init__(self):
        self.lines = []
        self.count = 0

    def array(self, kind, items):
        """Defines an array of these initializers and returns its name."""
        if not items:
            return "NULL"
        self.count += 1
        array = f"{kind}_{self.count}"
        self.lines.append(f"static const {kind} {array}[] = {{\n    " + ",\n    ".join(items) + ",\n};")
        return array

    def fields(self, items):
        return f"{{{self.array('field', items)}, {len(items)}}}"

    def expectation(self, given):
        given = dict(given)
        status, fails = given.pop("status", "ST_OK"), given.pop("failed", False)
        value = bytes.fromhex(given.pop("hex")) if "hex" in given else given.pop("value", None)
        if "ids" in given:
            value = " ".join(str(each) for each in given.pop("ids"))
        provider, info = given.pop("provider", None), given.pop("info", None)
        given.update(given.pop("stats", {}))
        facts = [f"{{{name('info')}, {{NULL, 0}}, (double)({bits(info, INFO)})}}"] if info is not None else []
        facts += [f"{{{name(key)}, {{NULL, 0}}, {float(number)!r}}}" for key, number in given.items()]
        return f"{{{status}, {int(fails)}, {text(value)}, {text(provider)}, {self.fields(facts)}}}"

    def step(self, given):
        given = dict(given)
        action, expect = given.pop("do"), dict(given.pop("expect", {}))
        keys = [text(each) for each in given.pop("keys", [])]
        answers = {None: given.pop("load")} if "load" in given else given.pop("answers", {})
        answers = [
            f"{{{text(key)}, {text(one.get('value'))}, {one.get('status', 'ST_OK')}}}" for key, one in answers.items()
        ]
        results = [self.expectation(each) for each in expect.pop("results", [])]
        fields = []
        if "flags" in given:
            fields.append(f"{{{name('flags')}, {{NULL, 0}}, (double)({bits(given.pop('flags'), FLAGS)})}}")
        if "mode" in given:
            fields.append(f"{{{name('mode')}, {{NULL, 0}}, 0{given.pop('mode')}}}")
        fields += [field(key, value) for key, value in given.items() if value is not None]
        return (
            f"{{{name(action)}, {self.fields(fields)}, {self.array('text', keys)}, {len(keys)}, "
            f"{self.array('answer', answers)}, {len(answers)}, {self.expectation(expect)}, "
            f"{self.array('expectation', results)}}}"
        )

    def case(self, given):
        given = dict(given)
        label, opened = given.pop("name"), dict(given.pop("open", {}))
        expect = self.expectation(opened.pop("expect", {}))
        opened = [
            f"{{{name(kind)}, {self.fields([field(key, value) for key, value in settings.items()])}}}"
            for kind, settings in opened.items()
        ]
        env = [field(key, value) for key, value in given.pop("env", {}).items()]
        files = [
            f"{{{name(path)}, {text(file['text'])}, 0{file['mode']}}}" for path, file in given.pop("files", {}).items()
        ]
        steps = [self.step(each) for each in given.pop("steps")]
        servers = int(given.pop("servers", False))
        assert not given, f"a case that the table cannot hold: {given}"
        return (
            f"{{{name(label)}, {servers}, {self.fields(env)}, {self.fields(files)}, {self.array('opening', opened)}, "
            f"{len(opened)}, {expect}, {self.array('step', steps)}, {len(steps)}}}"
        )


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
