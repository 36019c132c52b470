"""The databases: users' credentials, the audit trail, and SimpleTuner's classes on top of them."""

import asyncio
import contextlib
import json
import os
import sqlite3
import stat
import unittest
from datetime import timedelta

import st_secrets
from st_secrets import BadTokenError, Cipher, CorruptError, NotFoundError, SecretsManager, Store, get_store
from st_secrets.replicate_client import (
    DEFAULT_HARDWARE_INFO,
    clear_hardware_info_cache,
    get_default_hardware_cost_per_hour,
    get_hardware_cost_per_hour,
    get_hardware_info,
    get_hardware_info_async,
    update_hardware_info_cache,
)
from st_secrets.storage import ProviderConfigStore, get_provider_config_store
from st_secrets.store import CREDENTIAL_GLOBAL, CREDENTIAL_NONE, CREDENTIAL_USER
from support import Case


class ProviderConfiguration(Case):
    def test_simpletuners_class(self):
        async def main():
            store = ProviderConfigStore()
            self.assertEqual(await store.get("replicate"), {})
            await store.save("replicate", {"webhook_url": "https://x", "cost_limit_enabled": True})
            await store.update("replicate", {"cost_limit_amount": 5.5, "hardware_info": {"a": {"cost_per_second": 1}}})
            self.assertEqual(
                await store.get_webhook_config("replicate"),
                {
                    "webhook_url": "https://x",
                    "webhook_secret": None,
                    "webhook_require_signature": True,
                    "webhook_allowed_ips": [],
                },
            )
            self.assertEqual(
                await store.get_cost_limit_config("replicate"),
                {"enabled": True, "amount": 5.5, "period": "daily", "action": "warn"},
            )
            self.assertEqual(await store.get_hardware_info("replicate"), {"a": {"cost_per_second": 1}})
            self.assertIsNone(await store.get_hardware_info("other"))
            self.assertEqual(await store.list_providers(), ["replicate"])
            self.assertEqual([await store.delete("replicate"), await store.delete("replicate")], [True, False])
            self.assertIs(get_provider_config_store(), get_provider_config_store())

        asyncio.run(main())

    def test_own_database(self):
        path = self.home / "own.db"
        store = ProviderConfigStore(path)
        store.save_sync("replicate", {"a": float("nan"), "größe": [1.5, None]})
        with contextlib.closing(sqlite3.connect(path)) as database:
            row = database.execute("SELECT provider, config FROM provider_config").fetchone()
        self.assertEqual(row, ("replicate", '{"a": NaN, "gr\\u00f6\\u00dfe": [1.5, null]}'))
        self.assertEqual(store.get_sync("replicate")["größe"], [1.5, None])
        self.assertFalse((self.home / "state").exists())

    def test_changes_by_python_are_seen(self):
        store = ProviderConfigStore()
        store.save_sync("replicate", {"a": 1})
        database = sqlite3.connect(self.home / "state" / "cloud" / "jobs.db")
        with database:
            database.execute("UPDATE provider_config SET config = '{\"a\": 2}'")
        database.close()
        st_secrets.invalidate_provider_cache("replicate")
        self.assertEqual(store.get_sync("replicate"), {"a": 2})

    def test_one_object_for_each_path(self):
        default, path = ProviderConfigStore(), self.home / "own" / "jobs.db"
        self.assertIs(default, ProviderConfigStore())
        self.assertIs(default, get_provider_config_store())
        self.assertEqual(default.get_database_path(), self.home / "state" / "cloud" / "jobs.db")
        own = ProviderConfigStore(path)
        self.assertIsNot(own, default)
        self.assertIs(own, ProviderConfigStore(str(path)))
        self.assertEqual(own.get_database_path(), path)
        # The first path that was given counts for later calls without one.
        self.assertIs(own, ProviderConfigStore())
        self.assertIs(own, get_provider_config_store())
        self.assertIs(default, ProviderConfigStore(default.get_database_path()))
        self.assertIs(own, ProviderConfigStore())
        os.environ["SIMPLETUNER_STATE_DIR"] = str(self.home / "another")
        ProviderConfigStore.reset_instance()
        self.assertIsNot(own, ProviderConfigStore())
        self.assertEqual(ProviderConfigStore().get_database_path(), self.home / "another" / "cloud" / "jobs.db")

    def test_transactions(self):
        store = ProviderConfigStore()
        insert = "INSERT INTO provider_config (provider, config, updated_at) VALUES (?, ?, '2026-01-01T00:00:00+00:00')"
        with store.transaction() as connection:
            connection.execute(insert, ("a", '{"n": 1}'))
        self.assertEqual(store.get_sync("a"), {"n": 1})
        self.assertEqual(stat.S_IMODE(store.get_database_path().stat().st_mode), 0o600)
        with self.assertRaises(ZeroDivisionError), store.transaction() as connection:
            connection.execute("UPDATE provider_config SET config = '{}'")
            raise ZeroDivisionError
        self.assertEqual(store.get_sync("a"), {"n": 1})

        async def main():
            async with store.transaction_async() as connection:
                connection.execute("UPDATE provider_config SET config = '{\"n\": 2}'")
            self.assertEqual(await store.get("a"), {"n": 2})
            with self.assertRaises(ZeroDivisionError):
                async with store.transaction_async() as connection:
                    connection.execute("DELETE FROM provider_config")
                    raise ZeroDivisionError
            self.assertEqual(await store.list_providers(), ["a"])
            results = await store.execute_in_transaction(
                [
                    lambda connection: connection.execute(insert, ("b", "{}")).rowcount,
                    lambda connection: connection.execute("SELECT count(*) AS n FROM provider_config").fetchone()["n"],
                ]
            )
            self.assertEqual(results, [1, 2])
            with self.assertRaises(sqlite3.IntegrityError):
                await store.execute_in_transaction(
                    [
                        lambda connection: connection.execute("DELETE FROM provider_config"),
                        lambda connection: connection.execute("INSERT INTO provider_config (provider) VALUES ('c')"),
                    ]
                )
            self.assertEqual(await store.list_providers(), ["a", "b"])

        asyncio.run(main())

    def test_row_that_is_not_json(self):
        store = ProviderConfigStore()
        store.save_sync("good", {"a": 1})
        with store.transaction() as connection:
            connection.execute("INSERT INTO provider_config VALUES ('bad', '{broken', '2026-01-01T00:00:00+00:00')")
        with self.assertLogs("st_secrets", "WARNING") as logs:
            self.assertEqual(store.get_sync("bad"), {})
            self.assertEqual(asyncio.run(store.get("bad")), {})
            self.assertEqual(
                asyncio.run(store.get_webhook_config("bad")),
                {
                    "webhook_url": None,
                    "webhook_secret": None,
                    "webhook_require_signature": True,
                    "webhook_allowed_ips": [],
                },
            )
            self.assertEqual(
                asyncio.run(store.get_cost_limit_config("bad")),
                {"enabled": False, "amount": 0.0, "period": "daily", "action": "warn"},
            )
            self.assertIsNone(asyncio.run(store.get_hardware_info("bad")))
        self.assertEqual(asyncio.run(store.get_webhook_config("none")), asyncio.run(store.get_webhook_config("good")))
        for native in (get_store().webhook_config, get_store().cost_limit_config):
            with self.assertRaises(CorruptError):
                native("bad")
        self.assertIn("'bad'" if "'bad'" in logs.output[0] else '"bad"', logs.output[0])
        self.assertEqual(store.get_sync("good"), {"a": 1})
        with self.assertRaises(CorruptError):
            get_store().provider_config("bad")
        with self.assertRaises(CorruptError):
            store.update_sync("bad", {"a": 1})
        store.save_sync("bad", {"a": 2})
        self.assertEqual(store.get_sync("bad"), {"a": 2})


class Hardware(Case):
    def test_stores_of_other_types(self):
        class Plain:
            def __init__(self, config):
                self.config, self.calls = config, 0

            def get_provider_config(self, provider):
                self.calls += 1
                if isinstance(self.config, Exception):
                    raise self.config
                return {"replicate": self.config}[provider]

        class Coroutine(Plain):
            async def get_provider_config(self, provider):
                return super().get_provider_config(provider)

        class Mapping:
            def get(self, provider):
                return {"hardware_info": prices}

        prices = {"gpu-l40s": {"name": "L40S", "cost_per_second": 0.001}}

        async def main():
            for store in (Plain({"hardware_info": prices}), Coroutine({"hardware_info": prices}), Mapping()):
                self.assertEqual(await get_hardware_info_async(store), prices)
                self.assertAlmostEqual(await get_default_hardware_cost_per_hour(store), 3.6)
                self.assertEqual(await get_hardware_info_async(store), prices)
                self.assertIn(getattr(store, "calls", 1), (1,))
                self.assertEqual(get_hardware_info(), prices)
                self.assertAlmostEqual(get_hardware_cost_per_hour("gpu-l40s"), 3.6)
                clear_hardware_info_cache()
            odd = Plain({"hardware_info": {"gpu-l40s": 5, "gpu-h100": {"cost_per_second": "x"}}})
            await get_hardware_info_async(odd)
            self.assertAlmostEqual(get_hardware_cost_per_hour("gpu-l40s"), 3.51)
            self.assertAlmostEqual(get_hardware_cost_per_hour("gpu-h100"), 5.49)
            clear_hardware_info_cache()
            for store in (Plain({}), Plain({"hardware_info": []}), Coroutine({"hardware_info": {}})):
                self.assertEqual(await get_hardware_info_async(store), DEFAULT_HARDWARE_INFO)
                clear_hardware_info_cache()
            with self.assertLogs("st_secrets", "WARNING") as logs:
                self.assertEqual(await get_hardware_info_async(Coroutine(ValueError("CANARY"))), DEFAULT_HARDWARE_INFO)
            self.assertNotIn("CANARY", str(logs.output))

        asyncio.run(main())

    def test_default_price_and_update(self):
        async def main():
            self.assertAlmostEqual(await get_default_hardware_cost_per_hour(), 3.51)
            update_hardware_info_cache({"gpu-x": {"name": "X", "cost_per_second": 1}})
            self.assertAlmostEqual(await get_default_hardware_cost_per_hour(), 3.51)
            self.assertEqual(list(await get_hardware_info_async(object())), ["gpu-x"])
            clear_hardware_info_cache()
            self.assertIn("gpu-h100", await get_hardware_info_async(ProviderConfigStore()))
            self.assertAlmostEqual(get_store().default_hardware_cost_per_hour(), 3.51)

        asyncio.run(main())


class Credentials(Case):
    def test_user_credential(self):
        store, cipher = get_store(), Cipher({"key": "a secret"})
        with self.assertRaises(NotFoundError):
            store.credential(7, "replicate", "api_token", cipher)
        store.set_credential(7, "replicate", "api_token", "r8_seven", cipher)
        self.assertEqual(store.credential(7, "replicate", "api_token", cipher), "r8_seven")
        with self.assertRaises(BadTokenError):
            store.credential(7, "replicate", "api_token", Cipher({"key": "another"}))
        (listed,) = store.list_credentials()
        self.assertEqual(
            (listed["user_id"], listed["provider"], listed["name"], listed["encrypted"]),
            (7, "replicate", "api_token", True),
        )
        self.assertEqual(store.list_credentials(8), [])
        self.assertEqual([store.delete_credential(7, "replicate", "api_token") for _ in range(2)], [True, False])

    def test_user_credential_precedes_the_shared_one(self):
        os.environ["REPLICATE_API_TOKEN"] = "r8_shared"
        store = get_store()
        store.set_credential(1, "replicate", "api_token", "r8_own")
        own = store.resolve_credential(1, "replicate", "api_token", SecretsManager.REPLICATE_API_TOKEN)
        self.assertEqual((own.source, own.value), (CREDENTIAL_USER, "r8_own"))
        SecretsManager.reset()
        other = SecretsManager(config={"env_prefix": "MYAPP"})
        os.environ["MYAPP_REPLICATE_API_TOKEN"] = "r8_mine"
        for secrets in (other, None):
            source, value = store.resolve_credential(
                2, "replicate", "api_token", "REPLICATE_API_TOKEN", secrets=secrets
            )
            self.assertEqual((source, value), (CREDENTIAL_GLOBAL, "r8_mine"))

    def test_state_of_a_credential(self):
        store = get_store()
        self.assertFalse(store.has_credential(7, "replicate", "api_token"))
        self.assertFalse(store.deactivate_credential(7, "replicate", "api_token"))
        first = store.set_credential(7, "replicate", "api_token", "r8")
        self.assertEqual(store.set_credential(7, "replicate", "api_token", "r8_2"), first)
        self.assertTrue(store.has_credential(7, "replicate", "api_token"))
        self.assertIsNone(store.list_credentials()[0]["last_used_at"])
        self.assertTrue(store.mark_credential_used(7, "replicate", "api_token"))
        self.assertIsNotNone(store.list_credentials()[0]["last_used_at"])
        self.assertTrue(store.deactivate_credential(7, "replicate", "api_token"))
        self.assertFalse(store.has_credential(7, "replicate", "api_token"))
        self.assertFalse(store.mark_credential_used(7, "replicate", "api_token"))
        with self.assertRaises(NotFoundError):
            store.credential(7, "replicate", "api_token")
        store.set_credential(7, "replicate", "api_token", "r8_3")
        self.assertEqual(store.credential(7, "replicate", "api_token"), "r8_3")

    def test_no_user_and_no_shared_secret(self):
        os.environ["KEY"] = "shared"
        store = get_store()
        store.set_credential(7, "replicate", "api_token", "r8")
        for user, key, source, value in (
            (7, "KEY", CREDENTIAL_USER, "r8"),
            (7, None, CREDENTIAL_USER, "r8"),
            (8, "KEY", CREDENTIAL_GLOBAL, "shared"),
            (None, "KEY", CREDENTIAL_GLOBAL, "shared"),
        ):
            with self.subTest(user=user, key=key):
                self.assertEqual(store.resolve_credential(user, "replicate", "api_token", key), (source, value))
                self.assertEqual(store.credential_source(user, "replicate", "api_token", key), source)
        for user, key in ((8, None), (None, None), (None, "NOTHING")):
            with self.subTest(user=user, key=key), self.assertRaises(NotFoundError):
                store.resolve_credential(user, "replicate", "api_token", key)
            self.assertEqual(store.credential_source(user, "replicate", "api_token", key), CREDENTIAL_NONE)

    def test_rotation_and_reencryption(self):
        store = get_store()
        for user in range(5):
            store.set_credential(user, "replicate", "api_token", f"r8_{user}")
        store.rotate_credentials()
        self.assertEqual(
            [store.credential(user, "replicate", "api_token") for user in range(5)], [f"r8_{user}" for user in range(5)]
        )
        seen = []
        report = store.reencrypt_credentials(progress=lambda done, total: seen.append((done, total)))
        self.assertEqual((report["total"], report["unchanged"]), (5, 5))
        self.assertEqual(seen[-1], (5, 5))
        with self.assertRaises(st_secrets.AbandonedError):
            store.reencrypt_credentials(progress=lambda done, total: False)

        def broken(done, total):
            raise ZeroDivisionError

        with self.assertRaises(ZeroDivisionError):
            store.reencrypt_credentials(progress=broken)


class Handles(Case):
    def test_closed_store_raises(self):
        store = Store({"state_dir": self.home / "other"})
        store.save_provider_config("a", {})
        store.close()
        store.close()
        with self.assertRaisesRegex(ValueError, "closed"):
            store.provider_config("a")

    def test_context_manager(self):
        with Store({"state_dir": self.home / "other", "timeout": timedelta(seconds=5)}) as store:
            store.save_provider_config("a", {"b": 1})
            self.assertEqual(store.describe()["database"], str(self.home / "other" / "cloud" / "jobs.db"))
        with self.assertRaisesRegex(ValueError, "closed"):
            store.describe()

    def test_backup(self):
        store, copy = get_store(), self.home / "copy.db"
        with self.assertRaises(NotFoundError):
            store.backup(copy)
        store.save_provider_config("a", {"b": 1})
        store.backup(copy)
        with contextlib.closing(sqlite3.connect(copy)) as database:
            self.assertEqual(json.loads(database.execute("SELECT config FROM provider_config").fetchone()[0]), {"b": 1})
        with self.assertRaises(OSError):
            store.backup(str(copy))
        store.backup(copy, replace=True, database="audit")
        with contextlib.closing(sqlite3.connect(copy)) as database:
            self.assertEqual(database.execute("SELECT count(*) FROM audit_log").fetchone(), (1,))
        with self.assertRaisesRegex(ValueError, "jobs, audit, credentials"):
            store.backup(copy, database="other")

    def test_process_store_stays_open(self):
        get_store().close()
        self.assertEqual(get_store().provider_config("a"), {})

    def test_process_store_settings(self):
        st_secrets.reset_store({"database": self.home / "one.db"})
        get_store().save_provider_config("a", {"b": 1})
        self.assertTrue((self.home / "one.db").exists())


if __name__ == "__main__":
    unittest.main()
