"""Keys of a TTLCache: any hashable object."""

import asyncio
import datetime
import decimal
import enum
import fractions
import gc
import math
import pathlib
import threading
import unittest
import uuid
import weakref

from st_secrets import BusyError, TTLCache
from support import Case, Thing, run_all


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
        cache, calls, begun, proceed = TTLCache(), [], threading.Event(), threading.Event()

        def load():
            calls.append(1)
            begun.set()
            proceed.wait(60)
            return Thing()

        results = []
        threads = [
            threading.Thread(target=lambda key=key: results.append(cache.get_or_set((key, "k"), load)))
            for key in (1, 1.0, True)
        ]
        for thread in threads:
            thread.start()
        begun.wait(60)
        proceed.set()
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


if __name__ == "__main__":
    unittest.main()
