"""SharedCache on a Redis server: two caches, as two processes have them."""

import base64
import socket
import subprocess
import threading
import time
import unittest

import st_secrets
from support import CANARY, Case

KEY = base64.b64encode(b"k" * 32).decode()


def soon(is_so):
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.005)


class SharedCacheTest(Case):
    def setUp(self):
        super().setUp()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        command = [
            "redis-server",
            "--bind",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--save",
            "",
            "--dir",
            str(self.home),
        ]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        soon(self.listens)

    def listens(self):
        try:
            return socket.create_connection(("127.0.0.1", self.port)).close() is None
        except ConnectionRefusedError:
            return False

    def open(self, **config):
        config = {"tier_interval": 0.01, **config}
        cache = st_secrets.SharedCache(f"redis://127.0.0.1:{self.port}", share_key=KEY, config=config)
        self.addCleanup(cache.close)
        return cache

    def test_values_and_changes_reach_other_caches(self):
        one, other = self.open(), self.open()
        one.set("user:1", "first", ttl=60)
        one.set(b"page", b"first")
        self.assertEqual((other.get("user:1"), other.get("page"), other.get("none")), (b"first", b"first", None))
        one.set("user:1", b"second")
        soon(lambda: other.get("user:1") == b"second")
        one.invalidate_prefix("user:")
        soon(lambda: other.get("user:1") is None)
        self.assertEqual(other.get("page"), b"first")
        self.assertTrue(one.delete("page"))
        soon(lambda: other.get("page") is None)
        one.set("a", "x")
        other.clear()
        soon(lambda: one.get("a") is None)

    def test_value_is_made_once(self):
        one, other = self.open(), self.open()
        made = []
        barrier = threading.Barrier(4)

        def make():
            made.append(None)
            return "value"

        def ask():
            barrier.wait()
            self.assertEqual(one.get_or_set("k", make), b"value")

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual((other.get_or_set("k", make), len(made)), (b"value", 1))

    def test_factory_that_raises_leaves_nothing(self):
        cache = self.open()
        with self.assertRaises(ZeroDivisionError):
            cache.get_or_set("k", lambda: 1 // 0)
        self.assertEqual(cache.get_or_set("k", lambda: b"value"), b"value")

    def test_settings_are_checked_without_being_shown(self):
        with self.assertRaises(st_secrets.ConfigError) as raised:
            st_secrets.SharedCache("redis://127.0.0.1", share_key=CANARY)
        self.assertNotIn(CANARY, str(raised.exception))
        with self.assertRaises(ValueError):
            closed = self.open()
            closed.close()
            closed.get("k")


if __name__ == "__main__":
    unittest.main()
