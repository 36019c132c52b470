"""Credentials with SimpleTuner's names: the store and the resolver."""

import asyncio
import os
import sqlite3
import unittest

import st_secrets
from st_secrets import BadTokenError, get_store
from st_secrets.audit import get_audit_store
from st_secrets.auth.stores import CredentialStore, get_credential_store
from st_secrets.credential_resolver import CredentialResolver, get_credential_resolver, reset_credential_resolver
from support import Case

CANARY = "CANARY-of-the-tests"
KEY = (7, "replicate", "api_token")


class Stores(Case):
    def test_simpletuners_class(self):
        async def main():
            store = get_credential_store()
            self.assertIs(store, CredentialStore())
            self.assertIsNone(await store.get(*KEY))
            self.assertEqual(
                [await store.deactivate(*KEY), await store.mark_used(*KEY), await store.delete(*KEY)], [False] * 3
            )
            first = await store.set(*KEY, CANARY)
            self.assertIsInstance(first, int)
            self.assertEqual(await store.set(7, "huggingface", "api_token", "hf"), first + 1)
            self.assertEqual(await store.set(*KEY, CANARY), first)
            self.assertEqual(await store.get(*KEY), CANARY)
            listed = await store.list_for_user(7)
            self.assertEqual([entry["provider"] for entry in listed], ["huggingface", "replicate"])
            names = ["id", "provider", "credential_name", "created_at", "updated_at", "last_used_at", "is_active"]
            self.assertEqual(list(listed[0]), names)
            self.assertEqual(await store.list_for_user(7, "replicate"), listed[1:])
            self.assertEqual(await store.list_for_user(8), [])
            self.assertTrue(await store.deactivate(*KEY))
            self.assertIsNone(await store.get(*KEY))
            self.assertIs((await store.list_for_user(7))[1]["is_active"], False)
            await store.set(*KEY, "again")
            self.assertEqual(await store.get(*KEY), "again")
            self.assertEqual([await store.delete(*KEY), await store.delete(*KEY)], [True, False])

        asyncio.run(main())

    def test_value_is_encrypted_and_plain_values_are_read(self):
        path = self.home / "own.db"
        store = CredentialStore(path)
        self.assertIs(store, CredentialStore())
        asyncio.run(store.set(*KEY, CANARY))
        self.assertEqual(store.get_database_path(), path)
        database = sqlite3.connect(path)
        with database:
            self.assertNotIn(
                CANARY, database.execute("SELECT credential_value FROM provider_credentials").fetchone()[0]
            )
            database.execute("UPDATE provider_credentials SET credential_value = 'r8_plain'")
        database.close()
        self.assertEqual(asyncio.run(store.get(*KEY)), "r8_plain")


class UserStore:
    """SimpleTuner's store of users, as far as the resolver uses it."""

    def __init__(self, value):
        self.value, self.used = value, []

    async def get_provider_credential(self, user_id, provider, credential_name):
        if isinstance(self.value, Exception):
            raise self.value
        return self.value if (user_id, provider, credential_name) == KEY else None

    async def mark_credential_used(self, user_id, provider, credential_name):
        self.used.append((user_id, provider, credential_name))

    async def list_provider_credentials(self, user_id, provider):
        return [{"credential_name": "api_token", "is_active": self.value is not None}] if user_id == 7 else []


class Resolvers(Case):
    def test_own_or_shared_credential(self):
        os.environ.update(REPLICATE_API_TOKEN="r8_shared", HF_TOKEN="hf_shared")

        async def main():
            resolver = get_credential_resolver()
            self.assertIs(resolver, get_credential_resolver())
            await get_credential_store().set(*KEY, "r8_own")
            self.assertEqual(
                [await resolver.get_replicate_token(user) for user in (7, 8, None)],
                ["r8_own", "r8_shared", "r8_shared"],
            )
            self.assertEqual(await resolver.get_hf_token(7), "hf_shared")
            self.assertIsNone(await resolver.get_credential("replicate", "api_token", 8))
            self.assertIsNone(await resolver.get_credential("replicate", "api_token"))
            self.assertTrue(await resolver.has_user_credential(*KEY))
            self.assertFalse(await resolver.has_user_credential(8, "replicate", "api_token"))
            sources = [
                await resolver.get_credential_source("replicate", "api_token", user, key)
                for user, key in ((7, "REPLICATE_API_TOKEN"), (8, "REPLICATE_API_TOKEN"), (8, None), (None, "HF_TOKEN"))
            ]
            self.assertEqual(sources, ["user", "global", None, "global"])
            self.assertEqual(len(await get_audit_store().query(["credential.used"])), 1)
            reset_credential_resolver()
            self.assertIsNot(resolver, get_credential_resolver())

        asyncio.run(main())

    def test_credential_that_cannot_be_read_is_skipped(self):
        os.environ["REPLICATE_API_TOKEN"] = "r8_shared"

        async def main():
            await get_credential_store().set(*KEY, "r8_own")
            st_secrets.reset_cipher({"key": "another"})
            with self.assertRaises(BadTokenError):
                await get_credential_store().get(*KEY)
            with self.assertLogs("st_secrets", "WARNING"):
                self.assertEqual(await get_credential_resolver().get_replicate_token(7), "r8_shared")

        asyncio.run(main())

    def test_stores_of_another_type(self):
        os.environ["REPLICATE_API_TOKEN"] = "r8_shared"

        async def main():
            users = UserStore("r8_own")
            resolver = CredentialResolver(users)
            self.assertEqual(await resolver.get_replicate_token(7), "r8_own")
            self.assertEqual(users.used, [KEY])
            self.assertEqual(await resolver.get_replicate_token(8), "r8_shared")
            self.assertEqual(await resolver.get_credential_source("replicate", "api_token", 7, None), "user")
            self.assertIsNone(await resolver.get_credential_source("replicate", "api_token", 8, None))
            users.value = ValueError(CANARY)
            with self.assertLogs("st_secrets", "WARNING") as logs:
                self.assertEqual(await resolver.get_replicate_token(7), "r8_shared")
            self.assertNotIn(CANARY, str(logs.output))

        asyncio.run(main())

    def test_shared_secret_that_cannot_be_read(self):
        self.write(".simpletuner/secrets.json", "{broken")
        with self.assertLogs("st_secrets", "WARNING"):
            self.assertIsNone(asyncio.run(CredentialResolver().get_replicate_token()))
            self.assertIsNone(
                asyncio.run(CredentialResolver().get_credential_source("replicate", "api_token", None, "A"))
            )
        self.assertEqual(get_store().list_credentials(), [])


if __name__ == "__main__":
    unittest.main()
