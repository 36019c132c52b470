"""TTLCache: values by reference, shared loads, settings, garbage collection."""

import asyncio
import gc
import inspect
import math
import operator
import threading
import time
import unittest
import weakref
from unittest import mock

import st_secrets
from st_secrets import BusyError, ConfigError, InvalidArgumentError, NotFoundError, TTLCache, _flight
from st_secrets.cache import CacheEntry
from support import Case, Thing, interrupted_after, run_all, until


class Values(Case):
    def test_objects_are_stored_by_reference_until_they_leave_the_cache(self):
        cache = TTLCache(max_size=2)
        thing = Thing()
        watched = weakref.ref(thing)
        cache.set("a", thing)
        self.assertIs(cache.get("a"), thing)
        del thing
        self.assertIsNotNone(watched())
        for leave in (
            lambda: cache.delete("a"),
            lambda: cache.clear(),
            lambda: cache.set("a", 1),
            lambda: cache.invalidate_prefix("a"),
            lambda: [cache.set(name, 1) for name in "bc"],
        ):
            thing = Thing()
            watched = weakref.ref(thing)
            cache.set("a", thing)
            del thing
            self.assertIsNotNone(watched())
            leave()
            self.assertIsNone(watched())

    def test_none_is_a_value(self):
        cache = TTLCache()
        cache.set("a", None)
        self.assertIsNone(cache.get("a", "default"))
        self.assertEqual(cache.get("b", "default"), "default")
        self.assertIsNone(cache.get_or_set("a", lambda: self.fail("there is a value")))
        calls = []
        for _ in range(2):
            self.assertIsNone(cache.get_or_set("c", lambda: calls.append(1)))
        self.assertEqual(calls, [1])

    def test_ttl(self):
        cache = TTLCache(default_ttl=0.05)
        begun = time.monotonic()
        cache.set("short", 1)
        cache.set("ever", 2, ttl=math.inf)
        cache.set("over", 3, ttl=0)
        self.assertEqual((cache.get("ever"), cache.get("over")), (2, None))
        until(lambda: cache.get("short") is None)
        self.assertGreaterEqual(time.monotonic() - begun, 0.05)
        self.assertEqual(cache.get("ever"), 2)
        for bad in (-1, -0.5, math.nan):
            with self.assertRaises(InvalidArgumentError):
                cache.set("short", 1, ttl=bad)
            with self.assertRaises(InvalidArgumentError):
                cache.get_or_set("short", int, ttl=bad)
        self.assertEqual(TTLCache(max_size=0).get_or_set("a", lambda: 5), 5)

    def test_value_whose_finalizer_uses_the_cache(self):
        cache = TTLCache(max_size=1)
        seen = []

        class Nosy:
            def __del__(self):
                seen.append(cache.get("b"))
                cache.set("b", None)
                cache.clear()

        cache.set("a", Nosy())
        cache.set("b", "value")
        self.assertEqual(seen, ["value"])
        self.assertEqual(cache.stats()["size"], 0)

    def test_cache_in_a_reference_cycle_is_freed(self):
        cache = TTLCache()
        thing = Thing()
        thing.cache = cache
        cache.set("me", thing)
        cache.set("and", [cache])
        watched = weakref.ref(thing)
        del cache, thing
        gc.collect()
        self.assertIsNone(watched())

    def test_subclass(self):
        class Named(TTLCache):
            name = "mine"

        cache = Named(default_ttl=5)
        cache.set("a", 1)
        self.assertEqual((cache.get("a"), cache.name, cache.stats()["default_ttl"]), (1, "mine", 5.0))
        self.assertEqual(TTLCache[int]().get_or_set("a", lambda: 1), 1)

    def test_subclass_with_its_own_arguments(self):
        class Named(TTLCache):
            def __init__(self, name, seconds=5.0):
                super().__init__(default_ttl=seconds, max_size=7)
                self.name = name

        cache = Named("mine")
        self.assertEqual((cache.name, cache.stats()["default_ttl"], cache.stats()["max_size"]), ("mine", 5.0, 7))
        cache.set("a", 1)
        for present in (cache, st_secrets.get_provider_config_cache()):
            with self.assertRaises(RuntimeError):
                TTLCache.__init__(present)
        self.assertEqual(cache.get("a"), 1)

    def test_values_of_built_in_caches_outlive_their_creator(self):
        other = TTLCache._built_in(False)
        things = [[number] for number in range(50)]
        for number, thing in enumerate(things):
            other.set(str(number), thing)
        del other  # as when the module is reloaded, or at exit
        gc.collect()
        cache = st_secrets.get_provider_config_cache()
        self.assertTrue(all(cache.get(str(number)) is thing for number, thing in enumerate(things)))
        self.assertEqual(cache.clear(), 50)

    def test_container_protocol_ignores_expired_entries(self):
        cache = TTLCache(default_ttl=300.0, max_size=10)
        self.assertEqual((len(cache), "a" in cache, bool(cache)), (0, False, True))
        cache.set("a", None)
        cache.set("b", 2)
        cache.set("over", 3, ttl=0)
        self.assertEqual((len(cache), "a" in cache, "over" in cache), (2, True, False))
        self.assertEqual(repr(cache), "<TTLCache, 2 of at most 10 entries, default_ttl=300.0>")
        self.assertFalse(operator.contains(cache, 5))
        self.assertIn("default_ttl=inf", repr(TTLCache(default_ttl=math.inf)))

    def test_closed_cache_raises(self):
        cache, thing = TTLCache(), Thing()
        watched = weakref.ref(thing)
        cache.set("a", thing)
        del thing
        cache.close()
        self.assertIsNone(watched())
        cache.close()
        self.assertEqual(repr(cache), "<TTLCache, closed>")
        for use in (
            lambda: cache.get("a"),
            lambda: cache.set("a", 1),
            lambda: cache.delete("a"),
            cache.clear,
            cache.stats,
            lambda: cache.invalidate_prefix("a"),
            lambda: cache.get_or_set("a", int),
            lambda: len(cache),
            lambda: "a" in cache,
            lambda: asyncio.run(cache.get_or_set_async("a", self.fail)),
        ):
            with self.assertRaisesRegex(ValueError, "closed"):
                use()
        present = st_secrets.get_provider_config_cache()
        present.close()
        present.set("a", 1)
        self.assertEqual(present.get("a"), 1)

    def test_load_in_progress_when_the_cache_is_closed(self):
        cache, results = TTLCache(), []
        begun, proceed = threading.Event(), threading.Event()

        def load():
            begun.set()
            proceed.wait()
            return thing  # noqa: F821 (deleted below)

        thing = Thing()
        watched = weakref.ref(thing)
        thread = threading.Thread(target=lambda: results.append(cache.get_or_set("key", load) is thing))  # noqa: F821
        thread.start()
        begun.wait()
        cache.close()
        proceed.set()
        thread.join()
        self.assertEqual(results, [True])
        del thing
        gc.collect()
        self.assertIsNone(watched())

    def test_keyword_arguments(self):
        self.assertEqual(
            list(inspect.signature(TTLCache).parameters),
            ["default_ttl", "max_size", "cleanup_interval", "soft_ttl", "ttl_jitter", "absent_ttl"],
        )
        cache = TTLCache()
        cache.set(key="a", value=1, ttl=5)
        self.assertEqual(cache.get(key="a"), 1)
        self.assertTrue(cache.delete(key="a"))
        self.assertEqual(cache.invalidate_prefix(prefix="a"), 0)
        for method in (cache.get, cache.set, cache.delete, cache.get_or_set, cache.invalidate_prefix):
            self.assertIn(next(iter(inspect.signature(method).parameters)), ("key", "prefix"))


class Loads(Case):
    def test_threads_share_one_load(self):
        cache, calls, results = TTLCache(), [], []

        def compute():
            calls.append(threading.get_ident())
            others_wait(19)
            return Thing()

        run_all([lambda: results.append(cache.get_or_set("key", compute))] * 20)
        self.assertEqual(len(calls), 1)
        self.assertEqual(len(set(map(id, results))), 1)

    def test_waiters_get_a_value_that_is_not_stored(self):
        for cache, ttl in ((TTLCache(max_size=0), None), (TTLCache(), 0), (TTLCache(), None)):
            calls, results = [], []

            def compute():
                calls.append(1)
                others_wait(4)
                cache.invalidate_prefix("k")
                return Thing()

            run_all([lambda: results.append(cache.get_or_set("key", compute, ttl))] * 5)
            self.assertEqual((len(calls), len(set(map(id, results)))), (1, 1))
            self.assertIsNone(cache.get("key"))

    def test_failure_reaches_all_waiters_and_is_not_stored(self):
        cache, calls, errors = TTLCache(), [], []

        def compute():
            calls.append(1)
            others_wait(4)
            raise KeyError("no such row")

        def call():
            try:
                cache.get_or_set("key", compute)
            except KeyError as error:
                errors.append(error)

        run_all([call] * 5)
        self.assertEqual((len(calls), len(errors)), (1, 5))
        self.assertEqual(cache.get_or_set("key", lambda: 7), 7)

    def test_next_waiter_loads_after_an_interruption(self):
        cache, results = TTLCache(), []
        begun = threading.Event()

        def interrupted():
            begun.set()
            others_wait(1)
            raise KeyboardInterrupt

        def owner():
            with self.assertRaises(KeyboardInterrupt):
                cache.get_or_set("key", interrupted)

        def other():
            begun.wait()
            results.append(cache.get_or_set("key", lambda: "mine"))

        run_all([owner, other])
        self.assertEqual(results, ["mine"])

    def test_lease_is_given_back_if_a_signal_handler_raises_at_any_point(self):
        for function in ("_key", "_begin", "_finish"):
            cache = TTLCache()
            with interrupted_after(function):
                cache.get_or_set("key", lambda: 1)
            self.assertEqual(cache.get_or_set("key", lambda: 2), 1 if function == "_finish" else 2)

    def test_waiter_is_forgotten_if_a_signal_handler_raises(self):
        cache, own, wakes = TTLCache(), _flight.Load("key"), []
        cache._begin("key", own, lambda *_: None)
        with mock.patch.object(_flight.Waiter, "__call__", lambda *_: wakes.append(1)):
            with interrupted_after("_begin"):
                cache.get_or_set("key", lambda: 2)
            cache._finish("key", own, own.lease, 1, None)
        self.assertEqual((cache.get("key"), wakes), (1, []))

    def test_load_of_its_own_key_raises(self):
        cache = TTLCache()
        with self.assertRaises(BusyError):
            cache.get_or_set("key", lambda: cache.get_or_set("key", int))
        self.assertEqual(cache.get_or_set("key", lambda: 1), 1)

    def test_threads_that_wait_for_each_other_raise(self):
        cache, outcomes = TTLCache(), []
        both = threading.Barrier(2)

        def load(own, other):
            def compute():
                both.wait()
                return cache.get_or_set(other, int)

            try:
                outcomes.append(cache.get_or_set(own, compute))
            except BusyError:
                outcomes.append("busy")

        run_all([lambda: load("a", "b"), lambda: load("b", "a")])
        self.assertIn("busy", outcomes)
        self.assertEqual(len(outcomes), 2)

    def test_failed_load_leaves_no_reference_cycle(self):
        cache = TTLCache()
        thing = Thing()
        watched = weakref.ref(thing)

        def compute(thing=thing):
            raise ValueError

        gc.disable()
        self.addCleanup(gc.enable)
        with self.assertRaises(ValueError):
            cache.get_or_set("key", compute)
        del compute, thing
        self.assertIsNone(watched())

    def test_waiter_is_woken_although_a_signal_handler_raises(self):
        cache, own, heard = TTLCache(), _flight.Load("key"), []

        def wake(value, error):
            heard.append(value)
            if len(heard) == 1:
                raise KeyboardInterrupt  # from the handler of a signal that came before

        cache._begin("key", own, wake)
        cache._begin("key", _flight.Load("key"), wake)
        with self.assertRaises(KeyboardInterrupt):
            cache._finish("key", own, own.lease, "value", None)
        self.assertEqual(heard, ["value", "value"])

    def test_waiter_whose_key_cannot_be_compared(self):
        class Key(str):
            __hash__ = str.__hash__

            def __eq__(self, other):
                raise ValueError

        cache, own, other, heard = TTLCache(), _flight.Load("key"), _flight.Load("key"), []
        wake = lambda *end: heard.append(end)  # noqa: E731
        cache._begin("key", own, wake)
        self.assertIsNone(cache._begin(Key("key"), other, wake))
        self.assertEqual(other.lease, 0)
        self.assertGreater(wake.number, 0)
        cache._finish("key", own, own.lease, "value", None)
        self.assertEqual(heard, [("value", None)])


class Settings(Case):
    def test_value_is_reloaded_after_soft_ttl(self):
        cache = TTLCache(default_ttl=math.inf, max_size=7, soft_ttl=0)
        self.assertEqual((cache.stats()["default_ttl"], cache.stats()["max_size"]), (math.inf, 7))
        numbers = iter(range(100))
        self.assertEqual([cache.get_or_set("key", lambda: next(numbers)) for _ in range(3)], [0, 1, 2])
        self.assertEqual(cache.get("key"), 2)

        async def load():
            return next(numbers)

        self.assertEqual([asyncio.run(cache.get_or_set_async("key", load)) for _ in range(2)], [3, 4])
        begun, proceed = threading.Event(), threading.Event()

        def slow():
            begun.set()
            return proceed.wait(60) and "new"

        thread = threading.Thread(target=cache.get_or_set, args=("key", slow))
        thread.start()
        begun.wait()
        # The others get the old value meanwhile.
        self.assertEqual(cache.get_or_set("key", self.fail), 4)
        proceed.set()
        thread.join()
        self.assertEqual(cache.get("key"), "new")

    def test_failed_reload(self):
        cache = TTLCache(soft_ttl=0)

        def fail():
            raise ZeroDivisionError

        async def fail_async():
            raise ZeroDivisionError

        for load in (
            lambda: cache.get_or_set("key", fail),
            lambda: asyncio.run(cache.get_or_set_async("key", fail_async)),
        ):
            cache.set("key", "old")
            self.assertEqual(load(), "old")
            cache.delete("key")
            with self.assertRaises(ZeroDivisionError):
                load()

        def gone():
            raise NotFoundError("it is gone")

        cache.set("key", "old")
        with self.assertRaises(NotFoundError):
            cache.get_or_set("key", gone)
        self.assertNotIn("key", cache)

    def test_absence_is_cached(self):
        cache, calls = TTLCache(absent_ttl=3600), []

        def load():
            calls.append(1)
            raise NotFoundError("no such row")

        for _ in range(3):
            with self.assertRaises(NotFoundError):
                cache.get_or_set("key", load)
        self.assertEqual((len(calls), cache.get("key", "default")), (1, "default"))
        cache.set("key", "now")
        self.assertEqual(cache.get_or_set("key", self.fail), "now")

    def test_jitter_shortens_lives(self):
        cache = TTLCache(default_ttl=1e9, ttl_jitter=1)
        self.assertEqual(cache.get_or_set("key", lambda: 1), 1)
        for name, wrong in (("ttl_jitter", 1.5), ("absent_ttl", -1), ("absent_ttl", math.nan)):
            with self.assertRaisesRegex(ConfigError, name):
                TTLCache(**{name: wrong})
        with self.assertRaisesRegex(InvalidArgumentError, "soft_ttl"):
            TTLCache(soft_ttl=-1)
        with self.assertRaises(TypeError):
            TTLCache(300, 10, 60, 5)


def others_wait(count):
    """Waits until this many threads wait for the load of another."""
    until(lambda: len(_flight._waiting) >= count)


class Entries(unittest.TestCase):
    def test_entry_of_simpletuner(self):
        with mock.patch("st_secrets._entry.time.time", return_value=100.0):
            entry = CacheEntry("value", 101.5, created_at=100.0)
            self.assertEqual((entry.value, entry.expires_at), ("value", 101.5))
            self.assertEqual((entry.is_expired, entry.ttl_remaining), (False, 1.5))
        self.assertEqual((entry.is_expired, entry.ttl_remaining), (True, 0.0))


if __name__ == "__main__":
    unittest.main()
