"""TTLCache and @cached: values by reference, shared loads, garbage collection."""

import asyncio
import datetime
import decimal
import enum
import fractions
import gc
import inspect
import math
import operator
import pathlib
import threading
import time
import unittest
import uuid
import weakref
from unittest import mock

import st_secrets
from st_secrets import BusyError, ConfigError, InvalidArgumentError, NotFoundError, TTLCache, _flight, cached
from st_secrets.cache import CacheEntry
from st_secrets.cache import cached as simpletuner_cached
from support import Case, until


class Thing:
    """A value that supports weak references."""


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
        begun, go_on = threading.Event(), threading.Event()

        def load():
            begun.set()
            go_on.wait()
            return thing  # noqa: F821 (deleted below)

        thing = Thing()
        watched = weakref.ref(thing)
        thread = threading.Thread(target=lambda: results.append(cache.get_or_set("key", load) is thing))  # noqa: F821
        thread.start()
        begun.wait()
        cache.close()
        go_on.set()
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
        begun, go_on = threading.Event(), threading.Event()

        def slow():
            begun.set()
            return go_on.wait(60) and "new"

        thread = threading.Thread(target=cache.get_or_set, args=("key", slow))
        thread.start()
        begun.wait()
        # The others get the old value meanwhile.
        self.assertEqual(cache.get_or_set("key", self.fail), 4)
        go_on.set()
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


class Colour(enum.Enum):
    RED = 1
    ALSO_TEXT = "1"


class Named:
    """An object with an equality of its own."""

    def __init__(self, name):
        self.name = name

    def __eq__(self, other):
        return isinstance(other, Named) and self.name == other.name

    def __hash__(self):
        return hash(self.name)


class Keys(Case):
    # Objects of one list are equal to each other, and to none of another list.
    EQUAL = (
        ["1"],
        [1, 1.0, True, 1 + 0j, decimal.Decimal(1), fractions.Fraction(1)],
        [b"1", b"".join([b"1"])],
        [Colour.RED],
        [Colour.ALSO_TEXT],
        [None],
        ["None"],
        [""],
        ["\0"],
        ["\xff0"],
        [b"\xff0"],
        ["\ud800"],
        [()],
        [(1, "a"), (True, "a")],
        [("1", "a")],
        [frozenset([1, 2]), frozenset([2, 1])],
        [datetime.date(2026, 1, 2)],
        [pathlib.PurePosixPath("/a"), pathlib.PurePosixPath("/a/")],
        [Named("a"), Named("a")],
        [Thing],
        [2**100],
        [math.inf],
        [uuid.UUID(int=1)],
    )

    def test_keys_are_those_of_a_dict(self):
        cache, reference = TTLCache(max_size=100), {}
        for number, objects in enumerate(self.EQUAL):
            for key in objects:
                cache.set(key, (number, repr(key)))
                reference[key] = (number, repr(key))
        self.assertEqual((len(reference), len(cache)), (len(self.EQUAL), len(self.EQUAL)))
        for key in (key for objects in self.EQUAL for key in objects):
            self.assertEqual((cache.get(key), key in cache), (reference[key], True), repr(key))
            self.assertEqual(cache.get_or_set(key, self.fail), reference[key])
        for objects in self.EQUAL:
            self.assertEqual([cache.delete(key) for key in objects], [True] + [False] * (len(objects) - 1))
            self.assertIsNone(cache.get(objects[0]))
            self.assertNotIn(objects[0], cache)
        self.assertEqual(len(cache), 0)
        misses = cache.stats()["misses"]
        self.assertIsNone(cache.get(1))
        self.assertEqual(cache.stats()["misses"], misses + 1)
        for use in (cache.get, cache.delete, cache.__contains__, lambda key: cache.set(key, 1)):
            with self.assertRaisesRegex(TypeError, "unhashable type: 'list'"):
                use([])
        with self.assertRaisesRegex(TypeError, "prefix"):
            cache.invalidate_prefix(1)

    def test_prefixes_are_those_of_text(self):
        cache = TTLCache()
        for key in ("user:1", "user:2", 7, ("user:3",), b"user:4"):
            cache.set(key, key)
        self.assertEqual((cache.invalidate_prefix("user:"), len(cache)), (2, 3))
        self.assertEqual((cache.clear(), cache.get(7)), (3, None))

    def test_keys_are_dropped_with_their_entries(self):
        def key_of(number):
            keys.append(weakref.ref(thing := Thing()))
            thing.number = number
            return thing

        for end in (
            lambda cache, key: cache.delete(key),
            lambda cache, key: cache.clear(),
            lambda cache, key: cache.set("another", 1),  # evicts it
            lambda cache, key: cache.close(),
        ):
            keys, cache = [], TTLCache(max_size=1)
            key = key_of(1)
            cache.set(key, "value")
            self.assertEqual(cache.get(key), "value")
            end(cache, key)
            del key
            gc.collect()
            self.assertIsNone(keys[0]())
        cache = TTLCache(max_size=10)
        keys = []
        for number in range(1000):
            cache.set(key_of(number), number)
        self.assertEqual((len(cache), sum(key() is not None for key in keys)), (10, 10))
        # A key that refers to its cache, and is found by the garbage collector.
        key = key_of(0)
        key.cache = cache
        cache.set(key, 1)
        del cache, key
        gc.collect()
        self.assertIsNone(keys[-1]())

    def test_loads_share_a_key(self):
        cache, calls, begun, go_on = TTLCache(), [], threading.Event(), threading.Event()

        def load():
            calls.append(1)
            begun.set()
            go_on.wait(60)
            return Thing()

        results = []
        threads = [
            threading.Thread(target=lambda key=key: results.append(cache.get_or_set((key, "k"), load)))
            for key in (1, 1.0, True)
        ]
        for thread in threads:
            thread.start()
        begun.wait(60)
        go_on.set()
        for thread in threads:
            thread.join(60)
        self.assertEqual((len(calls), len(set(map(id, results))), len(results)), (1, 1, 3))

        async def main():
            async def compute():
                calls.append(1)
                await asyncio.sleep(0)
                return Thing()

            return await asyncio.gather(*(cache.get_or_set_async(key, compute) for key in (2, 2.0, (2,), (2.0,))))

        two, also_two, tuple_, also_tuple = asyncio.run(main())
        self.assertEqual((len(calls), two is also_two, tuple_ is also_tuple), (3, True, True))
        self.assertIs(cache.get(2), two)
        with self.assertRaisesRegex(BusyError, r"the load of \(5,\) waits for itself"):
            cache.get_or_set((5,), lambda: cache.get_or_set((5,), int))
        with self.assertRaises(KeyError):
            cache.get_or_set((6,), lambda: {}["x"])
        self.assertEqual(cache.get_or_set((6,), lambda: 6), 6)

    def test_equality_may_use_the_cache(self):
        class Using(Named):
            def __eq__(self, other):
                cache.get("text")
                cache.get(7)
                return super().__eq__(other)

            __hash__ = Named.__hash__

        cache = TTLCache()
        cache.set(7, 7)
        cache.set(Using("a"), 1)
        cache.set(Using("a"), 2)
        self.assertEqual((cache.get(Using("a")), cache.get(Using("b")), len(cache)), (2, None, 2))

    def test_equality_that_fails_is_raised(self):
        class Failing(Named):
            def __eq__(self, other):
                raise ZeroDivisionError

            __hash__ = Named.__hash__

        cache = TTLCache()
        cache.set(Failing("a"), 1)
        for use in (cache.get, cache.delete, cache.__contains__, lambda key: cache.set(key, 1)):
            with self.assertRaises(ZeroDivisionError):
                use(Failing("a"))
        self.assertEqual(cache.clear(), 1)

    def test_keys_of_many_threads(self):
        cache, errors = TTLCache(max_size=50), []

        def use(seed):
            try:
                for number in range(3000):
                    key = (number * 7 + seed) % 100
                    cache.set((key,), key)
                    got = cache.get((float(key),))
                    if got not in (key, None):
                        errors.append((key, got))
                    if number % 5 == 0:
                        cache.delete((key,))
                        loaded = cache.get_or_set((key,), lambda key=key: key)
                        if loaded != key:
                            errors.append((key, loaded))
            except BaseException as error:
                errors.append(error)

        run_all([lambda seed=seed: use(seed) for seed in range(4)])
        self.assertEqual(errors, [])
        self.assertLessEqual(len(cache), 50)


class AsyncLoads(Case):
    def test_tasks_of_several_event_loops_share_one_load(self):
        cache, calls, results = TTLCache(), [], []

        async def compute():
            calls.append(1)
            await asyncio.sleep(0.1)
            return Thing()

        def sync_compute():
            calls.append(1)
            time.sleep(0.1)
            return Thing()

        async def main():
            results.extend(await asyncio.gather(*[cache.get_or_set_async("key", compute) for _ in range(10)]))

        run_all([lambda: asyncio.run(main())] * 3 + [lambda: results.append(cache.get_or_set("key", sync_compute))] * 3)
        self.assertEqual(len(calls), 1)
        self.assertEqual((len(results), len(set(map(id, results)))), (33, 1))

    def test_event_loop_runs_while_a_thread_loads(self):
        cache, released = TTLCache(), []
        begun, go_on = threading.Event(), threading.Event()

        def slow():
            begun.set()
            released.append(go_on.wait(60))
            return "from the thread"

        async def main():
            thread = threading.Thread(target=cache.get_or_set, args=("key", slow))
            thread.start()
            begun.wait()
            waiting = asyncio.create_task(cache.get_or_set_async("key", self.fail))
            for _ in range(10):
                await asyncio.sleep(0.001)
            go_on.set()
            value = await waiting
            thread.join()
            return value

        self.assertEqual(asyncio.run(main()), "from the thread")
        self.assertEqual(released, [True])

    def test_next_waiter_loads_after_a_cancellation(self):
        cache = TTLCache()

        async def slow():
            await asyncio.sleep(60)

        async def quick():
            return "quick"

        async def main():
            owner = asyncio.create_task(cache.get_or_set_async("key", slow))
            await asyncio.sleep(0.01)
            waiting = asyncio.create_task(cache.get_or_set_async("key", quick))
            gone = asyncio.create_task(cache.get_or_set_async("key", slow))
            await asyncio.sleep(0.01)
            gone.cancel()
            await asyncio.sleep(0)
            owner.cancel()
            return await waiting

        self.assertEqual(asyncio.run(main()), "quick")

    def test_plain_call_does_not_wait_for_a_task_of_its_own_event_loop(self):
        cache = TTLCache()

        async def slow():
            await asyncio.sleep(0.01)
            return "task"

        async def main():
            task = asyncio.create_task(cache.get_or_set_async("key", slow))
            await asyncio.sleep(0)
            return cache.get_or_set("key", lambda: "plain"), await task

        self.assertEqual(asyncio.run(main()), ("plain", "task"))
        self.assertEqual(cache.get("key"), "task")

    def test_next_waiter_loads_after_the_event_loop_is_closed(self):
        cache = TTLCache()

        async def forever():
            await asyncio.Event().wait()

        loop = asyncio.new_event_loop()
        loop.set_exception_handler(lambda loop, context: None)  # it would report the task
        task = loop.create_task(cache.get_or_set_async("key", forever))
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        del task, loop
        gc.collect()
        results = []
        run_all([lambda: results.append(cache.get_or_set("key", lambda: "next"))])
        self.assertEqual(results, ["next"])

    def test_task_that_waits_for_itself_raises(self):
        cache = TTLCache()

        async def nested():
            return await cache.get_or_set_async("key", nested)

        def blocking():
            return cache.get_or_set("key", int)

        async def main():
            with self.assertRaises(BusyError):
                await cache.get_or_set_async("key", nested)

            async def blocks_the_loop():
                return blocking()

            with self.assertRaises(BusyError):
                await cache.get_or_set_async("key", blocks_the_loop)

        asyncio.run(main())


class Decorator(Case):
    def test_similar_arguments_have_different_keys(self):
        calls = []

        @cached(key_prefix="m")
        def f(*args, **kwargs):
            calls.append((args, kwargs))
            return len(calls)

        given = [
            ((1,), {}),
            (("1",), {}),
            ((True,), {}),
            ((1.0,), {}),
            (("a:b",), {}),
            (("a", "b"), {}),
            ((None,), {}),
            (("None",), {}),
            ((b"a",), {}),
            (("k=v",), {}),
            ((), {"k": "v"}),
            (([1],), {}),
            (("[1]",), {}),
        ]
        for _ in range(2):
            self.assertEqual([f(*args, **kwargs) for args, kwargs in given], list(range(1, len(given) + 1)))
        self.assertEqual(f._cache.stats()["size"], len(given))

    def test_other_arguments_need_a_key_function(self):
        class Users:
            name = "main"

            @cached(ttl=5)
            def get(self, user_id):
                return user_id

            @cached(key=lambda self, user_id: (self.name, user_id))
            def find(self, user_id):
                return Thing()

        with self.assertRaisesRegex(TypeError, "type Users has no cache key.*`key`"):
            Users().get(1)
        self.assertIs(Users().find(1), Users().find(1))
        self.assertEqual(Users().find.__name__, "find")

    def test_coroutine_functions_share_one_load(self):
        calls = []

        @cached(ttl=60, key_prefix="m")
        async def load(number):
            calls.append(number)
            await asyncio.sleep(0.01)
            return None

        async def main():
            await asyncio.gather(*[load(number % 3) for number in range(30)])

        asyncio.run(main())
        self.assertEqual(sorted(calls), [0, 1, 2])
        self.assertTrue(asyncio.iscoroutinefunction(load))


class Colour(enum.Enum):
    RED = 1


class SimpleTunerDecorator(Case):
    def test_arguments_of_any_type_have_the_keys_of_simpletuner(self):
        class Users:
            def __str__(self):
                return "users"

            @simpletuner_cached(ttl=5, key_prefix="noprefix")
            def get(self, user_id):
                return Thing()

        moment, name = datetime.datetime(2026, 8, 22, 10), uuid.UUID(int=7)
        given = {
            "p:f:True:None:a:b": ((True, None, "a:b"), {}),
            "p:f:1:1.5:z=1": ((1, 1.5), {"z": 1}),
            "p:f:Colour.RED:2026-08-22 10:00:00": ((Colour.RED, moment), {}),
            f"p:f:{name}:/tmp:{{1}}:range(0, 2)": ((name, pathlib.Path("/tmp"), {1}, range(2)), {}),
            "p:f:users:b=2:y={1: 2}": ((Users(),), {"y": {1: 2}, "b": 2}),
        }

        @simpletuner_cached(key_prefix="p")
        def f(*args, **kwargs):
            return Thing()

        for key, (args, kwargs) in given.items():
            self.assertIs(f(*args, **kwargs), f._cache.get(key))

        @simpletuner_cached()
        def noprefix(number):
            return number

        noprefix(1)
        self.assertIn(":noprefix:1", noprefix._cache)
        users = Users()
        self.assertIs(users.get(1), users.get(1))
        self.assertIs(Users.get(users, 1), Users.get._cache.get("noprefix:get:users:1"))

    def test_none_is_not_cached(self):
        calls = []

        @simpletuner_cached()
        def find(name):
            calls.append(name)

        @simpletuner_cached()
        async def find_async(name):
            calls.append(name)

        for _ in range(2):
            self.assertIsNone(find("a"))
            self.assertIsNone(asyncio.run(find_async("b")))
        self.assertEqual(calls, ["a", "b", "a", "b"])


def others_wait(count):
    """Waits until this many threads wait for the load of another."""
    until(lambda: len(_flight._waiting) >= count)


def run_all(functions):
    errors = []

    def guarded(function):
        try:
            function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(function,), daemon=True) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    if any(thread.is_alive() for thread in threads):
        raise AssertionError("a thread hangs")
    if errors:
        raise errors[0]


class Entries(unittest.TestCase):
    def test_entry_of_simpletuner(self):
        with mock.patch("st_secrets._entry.time.time", return_value=100.0):
            entry = CacheEntry("value", 101.5, created_at=100.0)
            self.assertEqual((entry.value, entry.expires_at), ("value", 101.5))
            self.assertEqual((entry.is_expired, entry.ttl_remaining), (False, 1.5))
        self.assertEqual((entry.is_expired, entry.ttl_remaining), (True, 0.0))


if __name__ == "__main__":
    unittest.main()
