"""Runs all test suites, three at a time, and reports each with its duration and its time of the processors.

usage: all.py BUILD FIRST… -- SUITE…

Each is a target of the Makefile. BUILD makes what the suites test; those of FIRST need nothing of it and run beside
it. The output of a suite is in build/test-logs/SUITE.log, and is printed if the suite fails. The suites have a
temporary directory (TMPDIR), which is removed at the end: tests that kill or abort their processes leave files."""

import concurrent.futures
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import types

ROOT = pathlib.Path(__file__).resolve().parent.parent
LOGS = ROOT / "build" / "test-logs"
# Many tests wait for servers and for each other, and the last step of a build is on one processor: on two processors,
# three suites keep both busy.
AT_ONCE = 3
# The lines by which the runners of the languages name a failed test, and what a Rust test says of the cause.
FAILURE = re.compile(
    r"^test .* FAILED$|panicked at |\*\*\*(Failed|Timeout|Exception)|^\s*(FAIL|ERROR): |--- FAIL:|^\s*not ok |✖"
)


# The suites that are running.
running: set[str] = set()


def report(line: str) -> None:
    """Prints a line in one piece, as the other suites may print at the same time."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def run(suite: str) -> bool:
    """Runs a suite, and returns whether it passed."""
    # Passes on the variables of the command line (`make test CC=clang`), and no flags: the suites share no job server.
    variables = os.environ.get("MAKEFLAGS", "").partition("-- ")[2]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    environment["MAKEFLAGS"] = f"-- {variables}" if variables else ""
    # Incremental compilation makes the first build of each crate slower, and only later ones faster.
    environment.setdefault("CARGO_INCREMENTAL", "0")
    # A panic names its place without them.
    environment.setdefault("CARGO_PROFILE_DEV_DEBUG", "0")
    report(f"{suite}: started")
    running.add(suite)
    start = time.monotonic()
    with open(LOGS / f"{suite}.log", "wb") as log:
        command = ["make", "--no-print-directory", suite]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    duration = time.monotonic() - start
    running.discard(suite)
    result = "passed" if status == 0 else "FAILED"
    report(f"{suite}: {result} in {duration:.0f} s, {used.ru_utime + used.ru_stime:.0f} s of a processor")
    return status == 0


def run_all(build: str, first: list[str], suites: list[str]) -> list[str]:
    """Runs all suites, and returns those that failed. Without the build, none of those that need it runs."""
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as executor:
        built = executor.submit(run, build)

        def run_after_build(suite: str) -> bool | None:
            if built.result():
                return run(suite)
            report(f"{suite}: not run, as {build} failed")
            return None

        results = {build: built}
        results.update({suite: executor.submit(run, suite) for suite in first})
        results.update({suite: executor.submit(run_after_build, suite) for suite in suites})
    return [suite for suite, result in results.items() if result.result() is False]


def stopped(number: int, _frame: types.FrameType | None) -> None:
    """Prints what was running when the time of the caller was over."""
    for suite in sorted(running):
        lines = (LOGS / f"{suite}.log").read_text(errors="replace").splitlines()
        print(f"\nstopped in {suite}; the end of its log:", *lines[-60:], sep="\n  ", flush=True)
    os._exit(128 + number)


def make_temporary_directory() -> str:
    """Makes a directory that is like /tmp: PostgreSQL, which refuses to run as root, runs as another user."""
    directory = tempfile.mkdtemp(prefix="st-secrets-")
    os.chmod(directory, 0o1777)
    os.environ["TMPDIR"] = directory
    return directory


def main() -> int:
    signal.signal(signal.SIGTERM, stopped)
    LOGS.mkdir(parents=True, exist_ok=True)
    split = sys.argv.index("--")
    temporary = make_temporary_directory()
    failed = run_all(sys.argv[1], sys.argv[2:split], sys.argv[split + 1 :])
    shutil.rmtree(temporary, ignore_errors=True)
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
