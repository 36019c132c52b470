"""Runs the program `ranks` (ranks.c) and returns its reports."""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
from pathlib import Path

from servers import SECRETS, environment

# Directories of hosts have to be in memory.
MEMORY = Path("/dev/shm")


class RanksError(Exception):
    """The program has failed, and has printed why."""


class Ranks:
    """A fleet whose ranks wait for their first round. For use in a `with` block."""

    def __init__(
        self, program, home, config, variables, hosts, ranks, share=False, options=(), launcher=(), given=None
    ):
        command = ["setpriv", "--pdeathsig", "KILL", *launcher, program, "--hosts", str(hosts), "--ranks", str(ranks)]
        self.base = None
        if share:
            self.base = tempfile.TemporaryDirectory(prefix="fleet-", dir=MEMORY)
            # Another user has to get as far as the directories of the hosts.
            Path(self.base.name).chmod(0o755)
            config = {**config, "share": "host"}
            command += ["--share", self.base.name]
        command += ["--config", json.dumps(config)]
        for name, value in variables.items():
            command += ["--env", f"{name}={value}"]
        command += [str(option) for option in options]
        command += [f"{name}={value}" for name, value in SECRETS.items()]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "start_new_session": True}
        self.process = subprocess.Popen(command, env=environment(home) | (given or {}), **pipes)
        try:
            self.ready = self.report()
        except BaseException:
            self.kill()
            raise

    def report(self):
        line = self.process.stdout.readline()
        if not line:
            raise RanksError(f"the program ranks ended with status {self.process.wait()}")
        return json.loads(line)

    def round(self):
        """Runs the next round and returns its report."""
        self.start_round()
        return self.report()

    def start_round(self):
        self.write("go")

    def rotated(self, time_ns):
        """The first secret was rotated at this time of the monotonic clock."""
        self.write(f"rotated {time_ns}")

    def end_rotations(self):
        self.write("end")

    def write(self, line):
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def __enter__(self):
        return self

    def __exit__(self, error, *_):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        if error is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=30)
        self.kill()

    def kill(self):
        """Ends all processes that are left, and removes their directories."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        # Every process of the fleet has the pipe open: its end is the end of the last one, which writes no more.
        self.process.stdout.read()
        self.process.wait()
        if self.base:
            self.base.cleanup()
