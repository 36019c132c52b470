"""Runs benches/redact.c on log text without values, and sed with the same patterns.

usage: redact.py PROGRAM DIRECTORY
"""

import base64
import random
import re
import resource
import subprocess
import sys
import urllib.parse
from pathlib import Path

PROGRAM, WORK = sys.argv[1], Path(sys.argv[2])
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
PREFIXES = ["hf_", "r8_", "sk-", "ghp_", "AKIA", "https://user:", "eyJ", "", "wandb_", "xoxb-"]
SIZE, SIZE_FOR_SED = 128 << 20, 2 << 20


def lines(size):
    """Log text of a training program."""
    random.seed(1)
    words = "step epoch loss lr grad_norm samples/s it/s cuda:0 INFO WARNING loading checkpoint token user host".split()
    block = ""
    while len(block) < 1 << 20:
        block += (
            f"2026-01-{random.randrange(1, 29):02}T{random.randrange(24):02}:00:00.{random.randrange(1000):03}Z "
            f"{random.choice(words)} {random.choice(words)}={random.random():.6f} {random.choice(words)} "
            f"{random.randrange(1 << 32):08x} https://example.org/{random.choice(words)}?id={random.randrange(10**6)}\n"
        )
    return (block.encode() * (size // len(block) + 1))[:size]


def forms(value):
    yield value
    yield value.encode().hex()
    yield value.encode().hex().upper()
    yield urllib.parse.quote(value, safe="")
    yield "".join(f"%{byte:02X}" for byte in value.encode())
    for before in range(3):
        encoded = base64.b64encode(b"x" * before + value.encode()).decode()
        yield encoded[-(-before * 8 // 6) : (before + len(value)) * 8 // 6]


def sed(values, text):
    """The seconds of processor time."""
    expressions = {form for value in values for form in forms(value)}
    script = WORK / "script.sed"
    quoted = [re.sub(r"([.*])", r"[\1]", form) for form in sorted(expressions)]
    script.write_text("".join(f"s\x01{form}\x01***\x01g\n" for form in quoted))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(["sed", "-f", script], input=text, stdout=subprocess.DEVNULL, check=True, env={"LC_ALL": "C"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main():
    WORK.mkdir(exist_ok=True)
    text = lines(SIZE)
    (WORK / "log.txt").write_bytes(text)
    print(f"Redaction of log text without values, in processor time of one core ({len(text) >> 20} MiB):")
    for count in (1, 10, 100):
        values = [random.choice(PREFIXES) + "".join(random.choices(LETTERS, k=36)) for _ in range(count)]
        (WORK / "values.txt").write_text("\n".join(values))
        result = subprocess.run(
            [PROGRAM, WORK / "log.txt", WORK / "values.txt"], capture_output=True, text=True, check=True
        )
        ours = len(text) / float(result.stdout)
        theirs = SIZE_FOR_SED / sed(values, text[:SIZE_FOR_SED]) / 1e9
        print(f"{count:4} values: {ours:6.2f} GB/s; sed {theirs:8.5f} GB/s; {ours / theirs:8.0f} times as fast")


main()
