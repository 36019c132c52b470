"""Lookups of coroutines, and providers that are coroutines."""

import asyncio
import logging
import os
import threading
import unittest
from unittest import mock

from st_secrets import EnvironmentSecretProvider, Error, NotFoundError, SecretsManager, UnavailableError, _async
from support import Case, until


class Hanging:
    """A provider that answers when it is released. No test depends on the limit."""

    name = "hanging"

    def __init__(self):
        self.begun, self.release, self.calls = threading.Event(), threading.Event(), []

    def get_secret(self, key):
        self.calls.append(key)
        self.begun.set()
        self.release.wait(120)
        return f"value of {key}"


async def turns(count=1000):
    """Lets the event loop run other tasks so many times."""
    for _ in range(count):
        await asyncio.sleep(0)


async def begun(provider):
    while not provider.begun.is_set():
        await asyncio.sleep(0.001)


class Lookups(Case):
    def manager(self, *providers, **config):
        manager = SecretsManager.open(list(providers), config)
        self.addCleanup(manager.close)
        return manager

    def hanging(self):
        provider = Hanging()
        self.addCleanup(provider.release.set)
        return provider

    def test_event_loop_runs_while_a_provider_hangs(self):
        provider = self.hanging()
        manager = self.manager(provider, EnvironmentSecretProvider())

        async def main():
            lookups = [asyncio.create_task(manager.get_async("A")), asyncio.create_task(manager.find_async("B"))]
            await begun(provider)
            await turns()
            self.assertEqual([lookup.done() for lookup in lookups], [False, False])
            provider.release.set()
            value, secret = await asyncio.gather(*lookups)
            self.assertEqual((value, secret.reveal()), ("value of A", "value of B"))

        asyncio.run(main())

    def test_cancelled_task_ends_and_others_get_the_value(self):
        provider = self.hanging()
        manager = self.manager(provider)

        async def main():
            cancelled, waiting = (asyncio.create_task(manager.get_async("A")) for _ in range(2))
            await begun(provider)
            cancelled.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await cancelled
            self.assertFalse(waiting.done())
            provider.release.set()
            self.assertEqual(await waiting, "value of A")
            self.assertEqual(provider.calls, ["A"])

        asyncio.run(main())

    def test_lookup_of_a_cancelled_task_that_has_not_begun_is_dropped(self):
        provider = self.hanging()
        manager = self.manager(provider)

        async def main():
            first = [asyncio.create_task(manager.get_async(f"K{number}")) for number in range(_async.THREADS)]
            while len(provider.calls) < _async.THREADS:
                await asyncio.sleep(0.001)
            behind = asyncio.create_task(manager.get_async("BEHIND"))
            await turns(10)
            behind.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await behind
            provider.release.set()
            await asyncio.gather(*first)
            self.assertEqual(await manager.get_async("LAST"), "value of LAST")
            self.assertNotIn("BEHIND", provider.calls)

        asyncio.run(main())

    def test_threads_are_bounded(self):
        provider = self.hanging()
        manager = self.manager(provider)

        async def main():
            keys = [f"K{number}" for number in range(5 * _async.THREADS)]
            lookups = [asyncio.create_task(manager.get_async(key)) for key in keys for _ in range(3)]
            while len(provider.calls) < _async.THREADS:
                await asyncio.sleep(0.001)
            await turns()
            self.assertEqual(len(provider.calls), _async.THREADS)
            provider.release.set()
            values = await asyncio.gather(*lookups)
            self.assertEqual(values, [f"value of {key}" for key in keys for _ in range(3)])
            self.assertEqual(sorted(provider.calls), sorted(keys))

        asyncio.run(main())

    def test_answer_after_the_event_loop_is_closed(self):
        provider = self.hanging()
        manager = self.manager(provider)

        async def main():
            asyncio.get_running_loop().create_task(manager.get_async("A"))
            await begun(provider)

        with self.assertNoLogs() if hasattr(self, "assertNoLogs") else self.subTest():
            asyncio.run(main())
            provider.release.set()
            self.assertEqual(manager.get("A"), "value of A")

    def test_call_that_no_task_waits_for_is_forgotten_when_it_ends(self):
        provider = self.hanging()
        manager = self.manager(provider)

        async def main():
            task = asyncio.create_task(manager.get_async("A"))
            await begun(provider)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        asyncio.run(main())
        self.assertEqual(len(_async._shared), 1)
        provider.release.set()
        until(lambda: not _async._shared)
        self.assertEqual(manager.get("A"), "value of A")

    def test_values_that_need_no_waiting(self):
        os.environ.update(A="env", HYPHENATED_KEY="env too")
        manager = self.manager(EnvironmentSecretProvider(), self.hanging())

        async def main():
            self.assertEqual(await manager.get_async("A"), "env")
            self.assertEqual(await manager.get_async("hyphenated-key", "d"), "env too")
            secret = await manager.find_async("A", timeout=1, refresh=True)
            self.assertEqual((secret.provider, secret.reveal()), ("env", "env"))
            self.assertEqual((await manager.find_async("A", cached_only=True)).reveal(), "env")
            with self.assertRaises(UnavailableError):
                await manager.find_async("B", cached_only=True)

        asyncio.run(main())

    def test_absent_keys_and_failures(self):
        self.write(".simpletuner/secrets.json", "{broken")
        manager, other = SecretsManager(), self.manager(EnvironmentSecretProvider())

        async def main():
            with self.assertLogs("st_secrets", logging.WARNING):
                self.assertEqual(await manager.get_async("A", "default"), "default")
            with self.assertRaises(Error):
                await manager.find_async("A")
            self.assertIsNone(await other.get_async("A"))
            with self.assertRaises(NotFoundError):
                await other.find_async("A")
            for wrong in (manager.get_async(5), manager.find_async(None)):
                with self.assertRaises(TypeError):
                    await wrong

        asyncio.run(main())

    def test_fork_has_threads_of_its_own(self):
        manager = self.manager(provider := self.hanging())
        provider.release.set()
        self.assertEqual(asyncio.run(manager.get_async("A")), "value of A")
        child = os.fork()
        if child == 0:
            try:
                os._exit(0 if asyncio.run(manager.get_async("B")) == "value of B" else 1)
            finally:
                os._exit(2)
        self.assertEqual(os.waitpid(child, 0)[1], 0)


class AsyncProvider:
    """A provider whose methods are coroutines."""

    name = "coroutines"

    def __init__(self, values):
        self.values, self.loops = values, set()

    async def is_available(self):
        await asyncio.sleep(0)
        return True

    async def get_secret(self, key):
        self.loops.add(asyncio.get_running_loop())
        await asyncio.sleep(0)
        value = self.values.get(key)
        if isinstance(value, Exception):
            raise value
        return value


class AsyncProviders(Case):
    def test_in_calls_and_coroutines(self):
        provider = AsyncProvider({"A": "a", "B": b"b", "FAILS": ConnectionRefusedError()})
        manager = SecretsManager([provider])

        async def main():
            # A plain call in a coroutine, too: the provider does not need this event loop.
            return await manager.get_async("A"), manager.get("B"), await manager.get_async("NOTHING", "d")

        self.assertEqual([manager.get("A"), manager.get_bytes("B"), manager.get("NOTHING")], ["a", b"b", None])
        manager.clear_cache()
        self.assertEqual(asyncio.run(main()), ("a", "b", "d"))
        self.assertEqual(len(provider.loops), 1)
        with self.assertRaisesRegex(UnavailableError, "ConnectionRefusedError"):
            manager.require("FAILS")

    def test_exit_of_a_coroutine_is_that_of_the_caller(self):
        for kind in (SystemExit, KeyboardInterrupt, GeneratorExit):
            with self.subTest(kind):
                manager = SecretsManager.open([AsyncProvider({"A": "a", "B": "b"}), self.exiting(kind)])
                self.addCleanup(manager.close)
                with self.assertRaises(kind):
                    manager.get("EXIT")
                self.assertEqual((manager.get("A"), asyncio.run(manager.get_async("B"))), ("a", "b"))

    def exiting(self, kind):
        class Exiting(AsyncProvider):
            name = "exiting"

            async def get_secret(self, key):
                await asyncio.sleep(0)
                raise kind

        return Exiting({})

    def test_unavailable(self):
        class Unavailable(AsyncProvider):
            async def is_available(self):
                return False

        self.assertIsNone(SecretsManager([Unavailable({"A": "a"})]).get("A"))

    def test_time_limit_cancels_the_coroutine(self):
        cancelled = threading.Event()

        class Endless(AsyncProvider):
            async def get_secret(self, key):
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    cancelled.set()
                    raise

        manager = SecretsManager([Endless({})], {"timeout": 0.05})
        with self.assertRaisesRegex(Error, "coroutines"):
            manager.require("A")
        self.assertTrue(cancelled.wait(60))

    def test_one_time_limit_covers_both_coroutines(self):
        class Slow(AsyncProvider):
            async def is_available(self):
                await asyncio.sleep(0.02)
                return True

        manager = SecretsManager([Slow({"A": "a"})], {"timeout": 60})
        with mock.patch.object(_async, "result_of", wraps=_async.result_of) as waited:
            self.assertEqual(manager.require("A"), "a")
        first, second = (call.args[1] for call in waited.call_args_list)
        self.assertLess(second, first)

    def test_provider_that_hung_is_not_waited_for_again(self):
        answers, calls = threading.Event(), []

        class Endless(AsyncProvider):
            async def get_secret(self, key):
                calls.append(key)
                if not answers.is_set():
                    await asyncio.Event().wait()
                return f"value of {key}"

        manager = SecretsManager.open([Endless({})], {"timeout": 30})
        self.addCleanup(manager.close)
        with self.assertRaisesRegex(Error, "coroutines"):
            manager.find("A", timeout=0.05)
        for key in ("A", "B", "C"):
            with self.assertRaisesRegex(Error, "next attempt in"):
                manager.find(key, timeout=0.05)
        self.assertEqual(calls, ["A"])
        answers.set()
        self.assertEqual(manager.find("A", refresh=True).reveal(), "value of A")
        self.assertEqual(manager.get("B"), "value of B")

    def test_provider_that_waits_for_itself(self):
        class Circular(AsyncProvider):
            async def get_secret(self, key):
                return manager.require("OTHER") if key == "A" else "value"

        manager = SecretsManager([Circular({})])
        with self.assertRaisesRegex(Error, "coroutines"):
            manager.require("A")
        self.assertEqual(manager.get("OTHER"), "value")

    def test_provider_that_uses_the_manager_in_its_coroutine(self):
        os.environ["REAL"] = "value"

        class Alias(AsyncProvider):
            async def get_secret(self, key):
                return await manager.get_async("REAL") if key == "ALIAS" else None

        manager = SecretsManager([EnvironmentSecretProvider(), Alias({})])
        self.assertEqual(manager.get("ALIAS"), "value")

    def test_providers_that_use_the_manager_do_not_wait_for_each_other(self):
        waiting = []

        class Plain:
            def get_secret(self, key):
                return f"value of {key}" if key.startswith("REAL") else None

        class Alias(AsyncProvider):
            async def get_secret(self, key):
                if not key.startswith("ALIAS"):
                    return None
                waiting.append(key)
                while len(waiting) < _async.THREADS:
                    await asyncio.sleep(0.001)  # until every thread waits for this provider
                return await manager.get_async(f"REAL{key}")

        manager = SecretsManager.open([Plain(), Alias({})], {"timeout": 120})
        self.addCleanup(manager.close)

        async def main():
            keys = [f"ALIAS{number}" for number in range(3 * _async.THREADS)]
            # These wait for a thread when the providers ask for the same keys.
            lookups = [manager.get_async(key) for key in (*keys, *(f"REAL{key}" for key in keys))]
            values = await asyncio.wait_for(asyncio.gather(*lookups), 60)
            self.assertEqual(values, [f"value of REAL{key}" for key in (*keys, *keys)])

        asyncio.run(main())


if __name__ == "__main__":
    unittest.main()
