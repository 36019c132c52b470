"""The databases: users' credentials, the audit trail, and SimpleTuner's classes on top of them."""

import asyncio
import contextlib
import os
import sqlite3
import unittest

import st_secrets
from st_secrets import BadTokenError, Cipher, NotFoundError, SecretsManager, Store, get_store
from st_secrets.audit import AuditEventType, AuditStore, audit_log, get_audit_store
from st_secrets.storage import ProviderConfigStore, get_provider_config_store
from st_secrets.store import CREDENTIAL_GLOBAL, CREDENTIAL_USER
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


class Audit(Case):
    def test_trail(self):
        os.environ["SIMPLETUNER_AUDIT_KEY"] = "signing"

        async def main():
            first = await audit_log(
                AuditEventType.CONFIG_CHANGED,
                "changed it",
                actor_id=3,
                actor_username="ada",
                target_type="config",
                target_id="replicate",
                details={"größe": 1.5},
            )
            second = await get_audit_store().log("job.submitted", "submitted it")
            self.assertEqual(second, first + 1)
            await get_audit_store().log("user.created", "made it")
            store = AuditStore()
            newest, middle, oldest = await store.query()
            self.assertEqual(
                (oldest.actor_username, oldest.details, oldest.previous_hash), ("ada", {"größe": 1.5}, "genesis")
            )
            self.assertEqual((middle.event_type, middle.actor_id, middle.details), ("job.submitted", None, {}))
            both = await store.query(["user.created", AuditEventType.CONFIG_CHANGED])
            self.assertEqual([entry.id for entry in both], [newest.id, oldest.id])
            self.assertEqual(
                [entry.id for entry in await store.query(["job.submitted", "user.created"], limit=1, offset=1)],
                [middle.id],
            )
            self.assertEqual([entry.id for entry in await store.query(actor_id=3)], [oldest.id])
            report = await store.verify_chain()
            self.assertEqual((report["valid"], report["entries_checked"]), (True, 3))
            with contextlib.closing(
                sqlite3.connect(self.home / "state" / "audit.db", isolation_level=None)
            ) as database:
                database.execute("UPDATE audit_log SET action = 'forged' WHERE id = ?", (middle.id,))
            report = await store.verify_chain(start_id=middle.id)
            self.assertEqual((report["valid"], report["broken_id"], report["kind"]), (False, middle.id, "altered"))

        asyncio.run(main())

    def test_changes_are_recorded_under_the_actor(self):
        store = get_store().as_actor(7, "ada", "::1")
        store.save_provider_config("replicate", {"webhook_secret": "CANARY"})
        store.as_actor().delete_provider_config("replicate")
        last, first = store.query_audit()
        self.assertEqual((first["actor_id"], first["actor_username"], first["actor_ip"]), (7, "ada", "::1"))
        self.assertEqual((last["actor_id"], last["event_type"]), (None, "config.changed"))
        self.assertNotIn("CANARY", repr((first, last)))
        with self.assertRaisesRegex(ValueError, "event_type"):
            store.query_audit(event_typ="x")


class Handles(Case):
    def test_closed_store_raises(self):
        store = Store({"state_dir": self.home / "other"})
        store.save_provider_config("a", {})
        store.close()
        store.close()
        with self.assertRaisesRegex(ValueError, "closed"):
            store.provider_config("a")

    def test_process_store_stays_open(self):
        get_store().close()
        self.assertEqual(get_store().provider_config("a"), {})

    def test_process_store_settings(self):
        st_secrets.reset_store({"database": self.home / "one.db"})
        get_store().save_provider_config("a", {"b": 1})
        self.assertTrue((self.home / "one.db").exists())


if __name__ == "__main__":
    unittest.main()
