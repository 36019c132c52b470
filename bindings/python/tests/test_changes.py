"""Live changes: the generation, listening, invalidation."""

import asyncio
import base64
import json
import os
import shutil
import subprocess
import tempfile
import threading
import unittest
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from st_secrets import SecretsManager
from st_secrets.errors import ConfigError, Error, InvalidArgumentError
from support import Case, until


class Changes(Case):
    def setUp(self):
        super().setUp()
        self.path = self.home / "secrets.json"
        self.write("1")
        self.manager = SecretsManager.open(config={"file_path": self.path})
        self.addCleanup(self.manager.close)
        self.assertEqual(self.manager.get("A"), "1")
        self.generation = self.manager.generation()

    def write(self, value):
        new = self.home / "new.json"
        new.write_text(json.dumps({"A": value}))
        new.chmod(0o600)
        new.rename(self.path)

    def test_listen_returns_when_a_file_has_changed(self):
        with ThreadPoolExecutor() as pool:
            listening = pool.submit(self.manager.listen, self.generation)
            self.write("2")
            now = listening.result(120)
        self.assertGreater(now, self.generation)
        self.assertEqual(self.manager.get("A"), "2")
        self.assertEqual(self.manager.generation(), now)

    def test_listen_returns_at_its_timeout(self):
        for timeout in (0, 0.01, timedelta(milliseconds=700)):
            self.assertEqual(self.manager.listen(self.generation, timeout), self.generation)
        self.assertEqual(asyncio.run(self.manager.listen_async(self.generation, 0.01)), self.generation)
        for wrong in (-1, float("nan")):
            self.assertRaises(InvalidArgumentError, self.manager.listen, self.generation, wrong)
        self.assertRaises(OverflowError, self.manager.listen, -1)
        self.assertRaises(TypeError, self.manager.listen, None)

    def test_coroutines_listen_in_threads_of_their_own(self):
        before = threading.active_count()

        async def main():
            listening = [asyncio.create_task(self.manager.listen_async(self.generation)) for _ in range(20)]
            # Lookups have the threads that all coroutines share.
            await self.manager.prefetch_async()
            listening[0].cancel()
            await asyncio.wait(listening[:1])
            self.assertTrue(listening[0].cancelled())
            self.write("2")
            return await asyncio.gather(*listening[1:])

        self.assertGreater(min(asyncio.run(main())), self.generation)
        # The threads end, that of the cancelled task too.
        for thread in threading.enumerate():
            if thread.name == "st_secrets-alone":
                thread.join(120)
        self.assertLessEqual(threading.active_count(), before + 8)

    def test_closing_a_manager_while_it_listens(self):
        with ThreadPoolExecutor() as pool:
            listening = pool.submit(self.manager.listen, self.generation)
            self.manager.close()
            self.assertRaises(ValueError, listening.result, 120)
        for call in (self.manager.generation, self.manager.invalidate, lambda: self.manager.listen(0)):
            self.assertRaises(ValueError, call)

    def test_invalidate(self):
        self.assertRaises(ConfigError, self.manager.invalidate)
        self.assertRaises(InvalidArgumentError, self.manager.invalidate, "A", -1)
        self.assertRaises(TypeError, self.manager.invalidate, 1)
        # In memory, where the share is.
        directory = tempfile.mkdtemp(dir="/dev/shm")
        self.addCleanup(shutil.rmtree, directory)
        report = {"scope": "host", "confirmed": [os.getpid()], "silent": [], "complete": True}
        with SecretsManager.open(config={"share": "host", "share_dir": directory}) as manager:
            before = manager.generation()
            self.assertEqual(manager.invalidate(), report)
            self.assertEqual(manager.invalidate("A", timedelta(seconds=60)), report)
            self.assertGreater(manager.listen(before), before)

    def test_invalidate_cluster(self):
        self.assertRaises(ConfigError, self.manager.invalidate_cluster)
        self.assertRaises(InvalidArgumentError, self.manager.invalidate_cluster, "A", -1)
        directory = Path(tempfile.mkdtemp(dir="/dev/shm"))
        self.addCleanup(shutil.rmtree, directory)
        socket = directory / "redis.sock"
        command = ["redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--dir", directory]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        until(socket.exists)

        def host(name):
            config = {"share": "host", "share_dir": directory / name, "share_url": f"unix://{socket}"}
            config["share_key"] = base64.b64encode(bytes(32)).decode()
            manager = SecretsManager.open(config=config)
            self.addCleanup(manager.close)
            return manager

        one, other = host("one"), host("other")
        ended = threading.Event()

        def follow():
            while not ended.is_set():
                other.listen(other.generation(), 1)

        def invalidated(timeout, confirmed):
            # A busy machine may miss the time of an exchange.
            while True:
                with suppress(Error):
                    report = one.invalidate_cluster("A", timeout)
                    if len(report["confirmed"]) == confirmed:
                        return report

        with ThreadPoolExecutor() as pool:
            following = pool.submit(follow)
            # The other host is known when it has looked at the tier.
            report = invalidated(timedelta(seconds=60), 2)
            ended.set()
            following.result(120)
        self.assertEqual((report["silent"], report["scope"]), ([], "cluster"))
        # It makes no call.
        silent = invalidated(0.5, 1)
        self.assertEqual(len(silent["silent"]), 1)
        self.assertEqual(sorted(silent["confirmed"] + silent["silent"]), report["confirmed"])


if __name__ == "__main__":
    unittest.main()
