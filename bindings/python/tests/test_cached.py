"""@cached, of the package and of SimpleTuner."""

import asyncio
import datetime
import enum
import pathlib
import unittest
import uuid

from st_secrets import cached
from st_secrets.cache import cached as simpletuner_cached
from support import Case, Thing


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


if __name__ == "__main__":
    unittest.main()
