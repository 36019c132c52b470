"""Times two commands as whole processes, alternately, and prints the medians and their ratio."""

import shlex
import statistics
import subprocess
import sys
import time

RUNS = 60


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


commands = [shlex.split(text) for text in sys.argv[1:3]]
times = [[seconds(command) for command in commands] for _ in range(RUNS + 3)][3:]
ours, theirs = (statistics.median(column) for column in zip(*times, strict=True))
ratio = statistics.median(b / a for a, b in times)
print(f"{'process start to first secret, C':44} {ours * 1e3:8.2f} ms")
print(f"{'the same in Python (json, os.environ)':44} {theirs * 1e3:8.2f} ms")
print(f"{'ratio':44} {ratio:8.1f} times faster")
