"""Times two commands as whole processes, alternately, and prints the medians and their ratio.

usage: starts.py LABEL COMMAND OTHER_LABEL OTHER_COMMAND
"""

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


labels, commands = sys.argv[1:5:2], [shlex.split(text) for text in sys.argv[2:5:2]]
times = [[seconds(command) for command in commands] for _ in range(RUNS + 3)][3:]
ours, theirs = (statistics.median(column) for column in zip(*times, strict=True))
ratio = statistics.median(b / a for a, b in times)
print(f"{labels[0]:44} {ours * 1e3:8.2f} ms")
print(f"{labels[1]:44} {theirs * 1e3:8.2f} ms")
if ratio >= 1.5:
    print(f"{'ratio':44} {ratio:8.1f} times faster")
else:
    print(f"{'ratio':44} {1 / ratio:8.2f} times the second")
