"""Runs all test suites, two at a time, and reports each with its duration. usage: all.py SUITE…

A suite is a target of the Makefile. Its output is in build/test-logs/SUITE.log, and is printed if the suite fails."""

import concurrent.futures
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import types

ROOT = pathlib.Path(__file__).resolve().parent.parent
LOGS = ROOT / "build" / "test-logs"
# Most tests wait for servers and for each other, so two suites do not slow each other down much.
AT_ONCE = 2
# The lines by which the runners of the languages name a failed test, and what a Rust test says of the cause.
FAILURE = re.compile(
    r"^test .* FAILED$|panicked at |\*\*\*(Failed|Timeout|Exception)|^\s*(FAIL|ERROR): |--- FAIL:|^\s*not ok |✖"
)


# The suites that are running.
running: set[str] = set()


def report(line: str) -> None:
    """Prints a line in one piece, as the other suite may print at the same time."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def run(suite: str) -> tuple[str, int, float]:
    """Runs a suite, and returns its name, its exit status and its duration in seconds."""
    # Passes on the variables of the command line (`make test CC=clang`), and no flags: the suites share no job server.
    variables = os.environ.get("MAKEFLAGS", "").partition("-- ")[2]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    environment["MAKEFLAGS"] = f"-- {variables}" if variables else ""
    report(f"{suite}: started")
    running.add(suite)
    start = time.monotonic()
    with open(LOGS / f"{suite}.log", "wb") as log:
        status = subprocess.run(
            ["make", "--no-print-directory", suite],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode
    duration = time.monotonic() - start
    running.discard(suite)
    report(f"{suite}: {'passed' if status == 0 else 'FAILED'} in {duration:.0f} s")
    return suite, status, duration


def stopped(number: int, _frame: types.FrameType | None) -> None:
    """Prints what was running when the time of the caller was over."""
    for suite in sorted(running):
        lines = (LOGS / f"{suite}.log").read_text(errors="replace").splitlines()
        print(f"\nstopped in {suite}; the end of its log:", *lines[-60:], sep="\n  ", flush=True)
    os._exit(128 + number)


def main() -> int:
    signal.signal(signal.SIGTERM, stopped)
    LOGS.mkdir(parents=True, exist_ok=True)
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as executor:
        failed = [suite for suite, status, _ in executor.map(run, sys.argv[1:]) if status != 0]
    for suite in failed:
        log = (LOGS / f"{suite}.log").read_text(errors="replace").splitlines()
        print(f"\n{suite} failed; the end of {LOGS / f'{suite}.log'}:", *log[-200:], sep="\n")
    for suite in failed:
        lines = (LOGS / f"{suite}.log").read_text(errors="replace").splitlines()
        found = [index for index, line in enumerate(lines) if FAILURE.search(line)][:20]
        # The line after it often has the reason.
        print(f"\n{suite} failed:", *(line[:400] for index in found for line in lines[index : index + 2]), sep="\n  ")
    if failed:
        print(f"\nfailed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
