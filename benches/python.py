"""Measures calls from Python: an empty call, a secret, a cache hit; next to SimpleTuner's algorithm, cachebox and
cachetools.

The peers alternate in every round, and the minimum over all rounds counts: absolute times vary with the load of the
machine, ratios within a run do not. Called by benches/python.sh.
"""

import asyncio
import os
import socket
import sys
import tempfile
import threading
import time
import timeit
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cachebox
import cachetools
import st_secrets
from st_secrets import SecretsManager, TTLCache, _native, cached  # noqa: F401 (timed code uses _native)

ROUNDS, NUMBER, ENTRIES = 60, 20_000, 500
HANG = 10.0  # seconds that a server does not answer
GAP = 5.0  # the longest gap of an event loop, in milliseconds


@dataclass
class Entry:
    value: Any
    expires_at: float


class InPython:
    """The algorithm of SimpleTuner's cache: a dict behind a reentrant lock, deadlines on the wall clock, removal of
    expired entries every `cleanup_interval` seconds.
    """

    def __init__(self, default_ttl=300.0, cleanup_interval=60.0):
        self.default_ttl, self.cleanup_interval = default_ttl, cleanup_interval
        self.entries = {}
        self.lock = threading.RLock()
        self.cleaned_up = time.time()

    def clean_up(self):
        now = time.time()
        if now - self.cleaned_up < self.cleanup_interval:
            return
        self.cleaned_up = now
        for key in [key for key, entry in self.entries.items() if now >= entry.expires_at]:
            del self.entries[key]

    def get(self, key):
        with self.lock:
            self.clean_up()
            entry = self.entries.get(key)
            if entry is None:
                return None
            if time.time() >= entry.expires_at:
                del self.entries[key]
                return None
            return entry.value

    def set(self, key, value):
        with self.lock:
            self.clean_up()
            self.entries[key] = Entry(value, time.time() + self.default_ttl)


def measure(subjects):
    """Returns the minimum time of each, in nanoseconds."""
    timers = {name: timeit.Timer(statement, globals=space) for name, (statement, space) in subjects.items()}
    best = dict.fromkeys(timers, float("inf"))
    for _ in range(ROUNDS):
        for name, timer in timers.items():
            best[name] = min(best[name], timer.timeit(NUMBER) / NUMBER * 1e9)
    return best


def under_load(statement, space):
    """Returns the mean time of a call while another thread computes continuously, in nanoseconds."""
    over = threading.Event()

    def compute():
        while not over.is_set():
            sum(range(1000))

    thread = threading.Thread(target=compute)
    thread.start()
    try:
        return timeit.timeit(statement, globals=space, number=2000) / 2000 * 1e9
    finally:
        over.set()
        thread.join()


async def longest_gap(lookup):
    """The longest time in ms between two turns of a task that sleeps for 1 ms, until `lookup` ends."""
    task, longest = asyncio.ensure_future(lookup), 0.0
    before = time.perf_counter()
    while not task.done():
        await asyncio.sleep(0.001)
        now = time.perf_counter()
        longest, before = max(longest, now - before), now
    return longest * 1e3


def event_loop():
    """Compares an event loop in which a lookup waits for a server that accepts and never answers with an idle one."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        config = {
            "providers": ["vault"],
            "vault_url": f"http://127.0.0.1:{server.getsockname()[1]}",
            "vault_token": "t",
            "timeout": HANG,
        }
        with SecretsManager.open(config=config) as manager:
            begun = time.perf_counter()
            gap = asyncio.run(longest_gap(manager.get_async("A")))
            took = time.perf_counter() - begun
    idle = asyncio.run(longest_gap(asyncio.sleep(took)))
    print(f"  longest gap of an event loop, {took:.1f} s:")
    print(f"  {'idle':44} {idle:8.2f} ms")
    verdict = "reached" if gap <= GAP else "MISSED"
    print(f"  {'while get_async waits for a hung server':44} {gap:8.2f} ms    (bar: at most {GAP:.0f}: {verdict})")


def main():
    # The prefix excludes secrets of the user's own environment.
    os.environ["BENCH_TOKEN"] = "r8_0123456789abcdef0123456789abcdef"
    path = Path(tempfile.mkdtemp()) / "secrets.json"
    path.write_text('{"FILE_TOKEN": "r8_0123456789abcdef0123456789abcdef"}')
    path.chmod(0o600)

    class Provider:
        name = "mine"

        def get_secret(self, key):
            return "remembered" if key == "MINE" else None

    secrets = SecretsManager(
        [st_secrets.EnvironmentSecretProvider("BENCH"), st_secrets.FileSecretProvider(path), Provider()]
    )
    secrets.get("MINE")
    keys = [f"provider:replicate:{number:06}:config" for number in range(ENTRIES)]
    value, key = "x" * 64, keys[ENTRIES // 2]
    ours = TTLCache(default_ttl=300.0, max_size=ENTRIES)
    in_python, rust, tools = InPython(), cachebox.TTLCache(ENTRIES, 300.0), cachetools.TTLCache(ENTRIES, 300.0)
    plain = {}
    for each in keys:
        ours.set(each, value)
        in_python.set(each, value)
        rust[each] = tools[each] = plain[each] = value

    @cached(ttl=300, key_prefix="bench")
    def function(number):
        return number

    function(123)
    name = "TOKEN"
    space = {**globals(), **locals()}
    subjects = {
        "an empty call": ("_native.nothing()", space),
        "dict": ("plain.get(key)", space),
        "cache hit": ("ours.get(key)", space),
        "cache hit, SimpleTuner's algorithm": ("in_python.get(key)", space),
        "cache hit, cachebox": ("rust.get(key)", space),
        "cache hit, cachetools": ("tools[key]", space),
        "get_or_set hit": ("ours.get_or_set(key, dict)", space),
        "@cached hit": ("function(123)", space),
        "cache set": ("ours.set(key, value)", space),
        "cache set, SimpleTuner's algorithm": ("in_python.set(key, value)", space),
        "cache set, cachebox": ("rust.insert(key, value)", space),
        "secret from the environment": ("secrets.get(name)", space),
        "secret from the file": ("secrets.get('FILE_TOKEN')", space),
        "secret of a provider, remembered": ("secrets.get('MINE')", space),
    }
    best = measure(subjects)
    print(f"Python {sys.version.split()[0]}, {ENTRIES} entries, values of 64 characters; the best of {ROUNDS} rounds:")
    for name, time_ in best.items():
        print(f"  {name:44} {time_:8.1f} ns")
    hit = best["cache hit"]
    for peer, bar in (("SimpleTuner's algorithm", 0.3), ("cachebox", 1.5)):
        ratio = hit / best[f"cache hit, {peer}"]
        print(
            f"  cache hit / {peer:32} {ratio:8.2f}    (bar: at most {bar}: {'reached' if ratio <= bar else 'MISSED'})"
        )
    print("  while another thread computes:")
    for what, statement in (
        ("secrets.get, which keeps the GIL", "secrets.get(name)"),
        ("secrets.find, which lets others run", "secrets.find(name)"),
    ):
        print(f"  {what:44} {under_load(statement, space):8.1f} ns")
    event_loop()


if __name__ == "__main__":
    main()
