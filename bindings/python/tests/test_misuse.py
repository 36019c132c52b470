"""Wrong usage raises Python's own exceptions and never crashes; memory stays constant."""

import asyncio
import collections
import gc
import math
import os
import unittest

import st_secrets
from st_secrets import Cipher, SecretsManager, Store, TTLCache, _native, cached
from support import Case, resident


class Misuse(Case):
    def test_arguments_of_wrong_types(self):
        os.environ["A"] = "x"
        cache, manager, cipher, store = TTLCache(), SecretsManager(), Cipher({"key": "k"}), Store()
        wrong = [
            lambda: cache.get([]),
            lambda: cache.get({}),
            lambda: cache.get({"a"}),
            lambda: cache.get(),
            lambda: collections.defaultdict(cache.get)["a"],
            lambda: cache.get("a", 1, 2),
            lambda: cache.get(kei="a"),
            lambda: cache.get("a", key="a"),
            lambda: cache.set("a"),
            lambda: cache.set([], 2),
            lambda: cache.set("a", 1, ttl="soon"),
            lambda: cache.get_or_set("a"),
            lambda: cache.get_or_set("a", 5),
            lambda: cache.delete([]),
            lambda: cache.invalidate_prefix(None),
            lambda: TTLCache("x"),
            lambda: TTLCache(1, 2.5),
            lambda: manager.get(None),
            lambda: manager.get(b"A"),
            lambda: manager.find("A", timeout="x"),
            lambda: manager.find("A", nothing=1),
            lambda: manager.get_many(5),
            lambda: manager.get_many([1]),
            lambda: manager.get_many("A"),
            lambda: manager.add_provider(object()),
            lambda: manager.add_provider(None),
            lambda: manager.add_provider(st_secrets.EnvironmentSecretProvider),
            lambda: SecretsManager(config=["file_path"]),
            lambda: manager.set_secret("A", 1),
            lambda: manager.set_secret("A"),
            lambda: manager.delete_secret(None),
            lambda: manager.add_provider(object(), "first"),
            lambda: st_secrets.FileSecretProvider({1}),
            lambda: cipher.encrypt(None),
            lambda: cipher.encrypt(bytearray(b"x")),
            lambda: cipher.decrypt(5),
            lambda: st_secrets.encrypt_credential(5),
            lambda: _native.Secrets(5),
            lambda: _native.Secret(),
            lambda: _native.function_key(1, (), {}),
            lambda: _native.function_key("a", [], {}),
            lambda: _native.function_key(),
            lambda: store.provider_config(5),
            lambda: store.set_credential("1", "p", "n", "v"),
            lambda: store.set_credential(None, "p", "n", "v"),
            lambda: store.credential(None, "p", "n"),
            lambda: store.credential(1, "p", "n", cipher="x"),
            lambda: store.resolve_credential(1, "p", "n", "k", secrets=cipher),
            lambda: st_secrets.invalidate_user_cache("1"),
            lambda: st_secrets.invalidate_provider_cache(1),
            lambda: _native.log_set("x", None),
        ]
        for number, use in enumerate(wrong):
            with self.subTest(number), self.assertRaises(TypeError):
                use()

    def test_invalid_values(self):
        manager = SecretsManager()
        wrong = [
            lambda: manager.require(""),
            lambda: manager.require("a\0b"),
            lambda: manager.get("\ud800"),
            lambda: manager.require("x" * 100_000),
            lambda: manager.get_many(["a\0b"]),
            lambda: manager.find("A", timeout=-1),
            lambda: manager.find("A", timeout=math.nan),
            lambda: manager.find("A", refresh=True, cached_only=True),
            lambda: TTLCache(max_size=-1),
            lambda: TTLCache(default_ttl=math.nan),
            lambda: TTLCache(-1),
            lambda: Store().set_credential(-5, "p", "n", "v"),
            lambda: Store().provider_config("x" * 1000),
            lambda: st_secrets.decrypt_credential("größe"),
            lambda: st_secrets.decrypt_credential(""),
        ]
        for number, use in enumerate(wrong):
            with self.subTest(number), self.assertRaises(ValueError):
                use()
        with self.assertRaises(OverflowError):
            TTLCache(max_size=2**70)
        with self.assertRaises(OverflowError):
            st_secrets.invalidate_user_cache(2**70)

    def test_large_keys_and_values(self):
        cache = TTLCache()
        cache.set("k" * 1_000_000, "v")
        self.assertEqual(cache.get("k" * 1_000_000), "v")
        token = st_secrets.encrypt_credential("x" * 1_000_000)
        self.assertEqual(len(st_secrets.decrypt_credential(token)), 1_000_000)
        with self.assertRaises(ValueError):
            st_secrets.encrypt_credential("x" * (17 << 20))

    def test_keys_of_recursive_arguments(self):
        endless = []
        endless.append(endless)
        with self.assertRaises(RecursionError):
            cached()(lambda x: x)(endless)
        with self.assertRaises(TypeError):
            cached()(lambda x: x)({1: 2})
        self.assertEqual(_native.function_key("f", (10**40, "x" * 1000), {}), f"f:{10**40}:{'x' * 1000}")

    def test_list_that_changes_the_dict_containing_it(self):
        class Emptying(list):
            def __getitem__(self, place):
                arguments.clear()
                return super().__getitem__(place)

        arguments = {"a": Emptying([1, 2, 3]), "b": 1}
        with self.assertRaisesRegex(RuntimeError, "changed"):
            cached()(lambda x: x)(arguments)


class Memory(Case):
    def test_memory_is_constant_over_100_000_calls_of_each_kind(self):
        os.environ["TOKEN"] = "value"
        path = self.write("s.json", '{"FILE": "value"}')
        manager = SecretsManager(config={"providers": ["env", "file"], "file_path": path})

        class Mine:
            name = "mine"

            def get_secret(self, key):
                return "mine" if key == "MINE" else None

        manager.add_provider(Mine())
        cache = TTLCache(max_size=100)
        cipher = Cipher({"key": "k"})
        token = cipher.encrypt("value")
        store = Store()
        store.save_provider_config("replicate", {"a": 1})
        function = cached(max_size=100)(lambda number: [number])
        numbers = iter(range(10**9))

        def failing():
            try:
                cache.get_or_set("failing", lambda: 1 / 0)
            except ZeroDivisionError:
                pass

        def bad_token():
            try:
                cipher.decrypt("x")
            except st_secrets.BadTokenError:
                pass

        kinds = {
            "get": lambda: manager.get("TOKEN"),
            "get of a file": lambda: manager.get("FILE"),
            "get of nothing": lambda: manager.get("NOTHING"),
            "get of a provider": lambda: manager.get("MINE"),
            "find": lambda: manager.find("TOKEN"),
            "get_many": lambda: manager.get_many(["TOKEN", "FILE", "NOTHING"]),
            "cache set": lambda: cache.set(str(next(numbers) % 200), [1]),
            "cache get": lambda: cache.get(str(next(numbers) % 200)),
            "cache get_or_set": lambda: cache.get_or_set(str(next(numbers) % 200), list),
            "cache prefix": lambda: cache.invalidate_prefix("1"),
            "cache stats": lambda: cache.stats(),
            "failing load": failing,
            "cached": lambda: function(next(numbers) % 200),
            "encrypt": lambda: cipher.encrypt("value"),
            "decrypt": lambda: cipher.decrypt(token),
            "bad token": bad_token,
            "configuration": lambda: store.provider_config("replicate"),
            "hardware": lambda: store.hardware_info(),
            "caches": lambda: TTLCache().set("a", 1),
        }
        for name, call in kinds.items():
            with self.subTest(name):
                self.assert_flat(call)

        async def loads():
            for number in range(100_000):
                await cache.get_or_set_async(str(number % 200), _value)
                if number % 1000 == 0:
                    await asyncio.sleep(0)

        self.assert_flat(lambda: asyncio.run(loads()), times=1)

    def assert_flat(self, call, times=100_000):
        """A leak grows in every round; pools, arenas and the stacks of new threads grow in some."""

        def memory_after(times):
            for _ in range(times):
                call()
            gc.collect()
            return resident()

        before = memory_after(min(times, 2000))
        for _ in range(8):
            after = memory_after(times)
            if after - before < 2048:
                return
            before = after
        self.fail("more than 2 MiB more in each of 8 rounds")


async def _value():
    return [1]


if __name__ == "__main__":
    unittest.main()
