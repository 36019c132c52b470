"""SharedCache on a Redis server: two caches, as two processes have them."""

import base64
import socket
import subprocess
import threading
import unittest

import st_secrets
from st_secrets import _flight
from support import CANARY, Case, interrupted_after, run_all, until

KEY = base64.b64encode(b"k" * 32).decode()


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
        until(self.listens)

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
        until(lambda: other.get("user:1") == b"second")
        one.invalidate_prefix("user:")
        until(lambda: other.get("user:1") is None)
        self.assertEqual(other.get("page"), b"first")
        self.assertTrue(one.delete("page"))
        until(lambda: other.get("page") is None)
        one.set("a", "x")
        other.clear()
        until(lambda: one.get("a") is None)

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

    def test_failure_reaches_all_waiters(self):
        cache, calls, errors = self.open(), [], []
        asked = threading.Event()

        def make():
            calls.append(None)
            asked.set()
            until(lambda: waiting() == 4)
            raise KeyError("no such row")

        def waiting():
            return sum(load is cache._loads.get(b"k") for load in list(_flight._waiting.values()))

        def ask():
            try:
                cache.get_or_set("k", make)
            except KeyError as error:
                errors.append(error)

        def ask_later():
            asked.wait(60)
            ask()

        run_all([ask] + [ask_later] * 4)
        self.assertEqual((len(calls), len(errors), cache._loads), (1, 5, {}))

    def test_absence_is_cached(self):
        cache, calls = self.open(absent_ttl=3600), []

        def make():
            calls.append(None)
            raise st_secrets.NotFoundError("there is none")

        for _ in range(3):
            with self.assertRaises(st_secrets.NotFoundError):
                cache.get_or_set("k", make)
        self.assertEqual(len(calls), 1)

    def test_failed_reload(self):
        for error, serves in (
            (OSError, True),
            (st_secrets.NotFoundError, False),
            (PermissionError, False),
            (KeyboardInterrupt, False),
        ):
            with self.subTest(error):
                cache, calls = self.open(soft_ttl=0.01, default_ttl=3600, tier_interval=3600), []
                key = error.__name__
                cache.set(key, b"")

                def make(error=error, calls=calls):
                    calls.append(None)
                    raise error("no")

                def asked(cache=cache, key=key, make=make, calls=calls):
                    self.assertEqual(cache.get_or_set(key, make), b"")
                    return calls

                if serves:
                    until(asked)
                    continue
                with self.assertRaises(error):
                    until(asked)
                self.assertEqual(len(calls), 1)

    def test_load_of_its_own_key_raises(self):
        cache = self.open()
        for inner in ("k", b"k"):
            with self.assertRaisesRegex(st_secrets.BusyError, "the load of 'k' waits for itself"):
                cache.get_or_set("k", lambda inner=inner: cache.get_or_set(inner, lambda: b"value"))
        self.assertEqual(cache.get_or_set("k", lambda: b"value"), b"value")

    def test_lease_is_given_back_if_a_signal_handler_raises_at_any_point(self):
        for function in ("_begin", "_finish"):
            cache = self.open()
            with interrupted_after(function):
                cache.get_or_set(function, lambda: b"first")
            expected = b"first" if function == "_finish" else b"second"
            run_all([lambda: self.assertEqual(cache.get_or_set(function, lambda: b"second"), expected)])

    def test_waiter_is_woken_when_the_cache_is_closed(self):
        cache, begun, proceed = self.open(), threading.Event(), threading.Event()

        def make():
            begun.set()
            proceed.wait(60)
            return b"value"

        def load():
            with self.assertRaisesRegex(ValueError, "closed"):
                cache.get_or_set("k", make)

        def wait():
            begun.wait(60)
            with self.assertRaisesRegex(ValueError, "closed"):
                cache.get_or_set("k", make)
            proceed.set()

        def close():
            begun.wait(60)
            until(lambda: _flight._waiting)
            cache.close()

        run_all([load, wait, close])

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
