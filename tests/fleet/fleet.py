"""Starts fleets of real processes against moto and OpenBao, and checks what the servers count.

usage: fleet.py BUILD [--hosts 50] [--ranks 10] [--runs NAME,…] [--timing] [--docs]

BUILD contains the programs `gate` and `ranks`, and receives results.json, fleet.md and fleet.svg. The quotas are those
of AWS, in proportion to the number of ranks: 10 000 ranks face the quotas of an account. --timing also checks
durations, which need a machine without other work. --docs also replaces the table of this size in docs, and with 10 000
ranks the picture, if no run missed a bar or was skipped.
"""

import argparse
import contextlib
import json
import resource
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import runs
from ranks import MEMORY, Ranks, RanksError
from report import FULL_SIZE, write, write_docs
from servers import Bao, Gate, Moto

# More ranks than this make a large fleet.
LARGE = 1000
# Seconds over which the hosts of a large fleet start. Those of a small one start at once.
SPREAD = 3
# In the directory of a host: twice what six small files need.
HOST_BYTES = 32 << 10
# Of files and processes.
LIMIT = 50_000


class Fleet:
    """The servers of one run, and its size."""

    def __init__(self, arguments, home):
        self.hosts, self.ranks, self.timing = arguments.hosts, arguments.ranks, arguments.timing
        self.programs = Path(arguments.build)
        self.home = home

    @property
    def size(self):
        return self.hosts * self.ranks

    @property
    def is_large(self):
        return self.size > LARGE

    def aws(self, replay=None, proportion=2, latency=0.02):
        """moto behind a gate with `proportion` of AWS's quotas per rank, at most those of one account.

        2 admits the logins of all hosts of a small fleet at once, whatever the speed of the machine. With thousands of
        ranks the gate repeats moto's responses for a second.
        """
        if replay is None:
            replay = 1.0 if self.is_large else 0.0
        return Backend(Moto, "aws", self, min(1.0, proportion * self.size / FULL_SIZE), replay, latency)

    def vault(self, rate=None):
        return Backend(Bao, "vault", self, 1, 0, 0.02, rate)

    def start(self, backend, share=False, options=(), hosts=None, ranks=None, launcher=(), **config):
        hosts, ranks = hosts or self.hosts, ranks or self.ranks
        given = {**backend.server.config(), **config}
        variables = backend.server.variables(backend.gate)
        program = self.programs / "ranks"
        options = ["--spread", SPREAD if self.is_large else 0, *options]
        return Ranks(program, self.home, given, variables, hosts, ranks, share, options, launcher)


class Backend:
    """A server and its gate."""

    def __init__(self, server, kind, fleet, scale, replay, latency, rate=None):
        self.server, self.kind, self.scale = server(fleet.home), kind, scale
        program = fleet.programs / "gate"
        self.gate = Gate(program, kind, self.server.address, fleet.home, scale, latency, replay)
        if rate is not None:
            self.server.quota(rate)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.gate.__exit__()
        self.server.__exit__()


def raise_limits():
    """Files and processes for all ranks: up to the hard limits, or beyond them where that is allowed."""
    for limit in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC):
        hard = resource.getrlimit(limit)[1]
        resource.setrlimit(limit, (hard, hard))
        if hard != resource.RLIM_INFINITY and hard < LIMIT:
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(limit, (LIMIT, LIMIT))


def exit_on_signals():
    """As on the signal of Ctrl-C, the directories of the hosts are removed."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda number, _: sys.exit(128 + number))


def check_memory(hosts):
    """Ends the program if the directories of the hosts would not fit where they cannot be mounted one by one."""
    needed = hosts * HOST_BYTES
    free = shutil.disk_usage(MEMORY).free
    if free < needed:
        sys.exit(f"{MEMORY} has {free >> 10} KiB left, the fleet needs {needed >> 10}: with Docker, set --shm-size")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--hosts", type=int, default=50)
    parser.add_argument("--ranks", type=int, default=10)
    parser.add_argument("--runs")
    parser.add_argument("--timing", action="store_true")
    parser.add_argument("--docs", action="store_true")
    arguments = parser.parse_args()
    raise_limits()
    check_memory(arguments.hosts)
    exit_on_signals()
    is_large = arguments.hosts * arguments.ranks > LARGE
    names = [name for name in runs.RUNS if is_large or name not in runs.LARGE_ONLY]
    if arguments.runs:
        names = arguments.runs.split(",")
    results, failed, skipped = [], [], []
    for name in names:
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as home:
            Path(home).chmod(0o755)
            try:
                result = runs.RUNS[name](Fleet(arguments, Path(home)))
            except runs.Skipped as reason:
                skipped.append(name)
                print(f"{name}: skipped: {reason}", flush=True)
                continue
            except RanksError as error:
                failed.append(f"{name}: {error}")
                print(f"{name}: FAILED: {error}", flush=True)
                continue
        result.name = name
        results.append(result)
        failed += [f"{name}: {problem}" for problem in result.problems]
        print(f"{name}: {result.summary()}  ({time.monotonic() - start:.0f} s)", flush=True)
        for problem in result.problems:
            print(f"  FAILED: {problem}", flush=True)
    write(arguments, results)
    if failed:
        for result in results:
            if result.problems:
                print(json.dumps(vars(result))[:20_000], file=sys.stderr)
        failed += ["the documents are unchanged"] if arguments.docs else []
        sys.exit("\n".join(failed))
    if arguments.docs:
        if skipped:
            sys.exit(f"the documents are unchanged, without {', '.join(skipped)}")
        write_docs(arguments, results)


if __name__ == "__main__":
    main()
