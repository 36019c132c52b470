"""The examples of SimpleTuner's documentation of secrets and cache, in its order. Only the imports are changed, from
`simpletuner.simpletuner_sdk.server.services.cloud` to `st_secrets`.
"""

import asyncio
import contextlib
import io
import json
import os
import stat

from support import Case


class SecretsProviders(Case):
    def test_environment(self):
        os.environ["REPLICATE_API_TOKEN"] = "r8_bare"
        os.environ["SIMPLETUNER_REPLICATE_API_TOKEN"] = "r8_prefixed"

        from st_secrets.secrets import EnvironmentSecretProvider

        # Without prefix
        provider = EnvironmentSecretProvider()
        # Key "replicate-api-token" -> REPLICATE_API_TOKEN
        self.assertEqual(provider.get_secret("replicate-api-token"), "r8_bare")

        # With prefix
        provider = EnvironmentSecretProvider(prefix="SIMPLETUNER")
        # Key "replicate-api-token" -> SIMPLETUNER_REPLICATE_API_TOKEN
        self.assertEqual(provider.get_secret("replicate-api-token"), "r8_prefixed")
        self.assertTrue(provider.is_available())
        self.assertIsNone(provider.get_secret("hf.token"))

    def test_file(self):
        document = {
            "REPLICATE_API_TOKEN": "r8_your_token_here",
            "HF_TOKEN": "hf_your_token_here",
            "CLOUD_WEBHOOK_SECRET": "your_webhook_secret",
        }
        yaml = "".join(f"{key}: {value}\n" for key, value in document.items())
        from st_secrets.secrets import FileSecretProvider

        for path in (self.write("secrets.json", json.dumps(document)), self.write("secrets.yaml", yaml)):
            # Use a custom file path
            provider = FileSecretProvider(file_path=str(path))
            self.assertTrue(provider.is_available())
            self.assertEqual({key: provider.get_secret(key) for key in document}, document)
            self.assertEqual(provider.get_file_path(), path)
        self.assertFalse(FileSecretProvider().is_available())
        self.write(".simpletuner/secrets.json", json.dumps(document))
        self.assertTrue(FileSecretProvider().is_available())

    def test_aws_and_vault_not_configured(self):
        from st_secrets.secrets import AWSSecretsManagerProvider, HashiCorpVaultProvider

        self.assertFalse(AWSSecretsManagerProvider().is_available())
        self.assertFalse(HashiCorpVaultProvider().is_available())
        self.assertIsNone(AWSSecretsManagerProvider().get_secret("HF_TOKEN"))

    def test_aws_and_vault_unavailable(self):
        from st_secrets.secrets import AWSSecretsManagerProvider, HashiCorpVaultProvider

        os.environ.update(
            AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="y", AWS_ENDPOINT_URL_SECRETS_MANAGER="http://127.0.0.1:9"
        )
        aws = AWSSecretsManagerProvider(secret_name="simpletuner/production", region_name="us-west-2")
        vault = HashiCorpVaultProvider(
            url="http://127.0.0.1:9",
            token="s.your_vault_token",
            path="simpletuner",
            mount_point="secret",  # KV mount point (default: "secret")
        )
        for provider in (aws, vault):
            self.assertFalse(provider.is_available())
            with self.assertLogs("st_secrets", "WARNING") as logs:
                self.assertIsNone(provider.get_secret("HF_TOKEN"))
            self.assertIn(provider._provider, str(logs.output))
            self.assertNotIn("s.your_vault_token", f"{logs.output} {vars(provider)} {provider!r}")


class UsingTheSecretsManager(Case):
    def test_getting_secrets(self):
        os.environ.update(REPLICATE_API_TOKEN="r8_x", CLOUD_WEBHOOK_SECRET="hook")
        self.write(".simpletuner/secrets.json", '{"HF_TOKEN": "hf_file", "REPLICATE_API_TOKEN": "r8_file"}')

        from st_secrets.secrets import get_secrets_manager

        # Get the singleton instance
        secrets = get_secrets_manager()

        # Get any secret
        api_token = secrets.get("REPLICATE_API_TOKEN")
        self.assertEqual(api_token, "r8_x")
        api_token = secrets.get("REPLICATE_API_TOKEN", default="fallback_value")
        self.assertEqual(api_token, "r8_x")
        self.assertEqual(secrets.get("NOTHING", default="fallback_value"), "fallback_value")
        self.assertIsNone(secrets.get("NOTHING"))

        # Convenience methods
        replicate_token = secrets.get_replicate_token()
        hf_token = secrets.get_hf_token()
        webhook_secret = secrets.get_webhook_secret()
        self.assertEqual((replicate_token, hf_token, webhook_secret), ("r8_x", "hf_file", "hook"))
        secrets.clear_cache()
        self.assertEqual(secrets.get_hf_token(), "hf_file")

    def test_setting_and_deleting_secrets(self):
        from st_secrets.secrets import get_secrets_manager

        secrets = get_secrets_manager()

        # Save a secret (writes to ~/.simpletuner/secrets.json)
        self.assertTrue(secrets.set_secret("MY_CUSTOM_KEY", "my_value"))
        self.assertEqual(secrets.get("MY_CUSTOM_KEY"), "my_value")
        path = self.home / ".simpletuner" / "secrets.json"
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        self.assertEqual(secrets.get_secrets_file_path(), path)

        # Convenience method for Replicate token
        secrets.set_replicate_token("r8_new_token")
        self.assertEqual(
            json.loads(path.read_text()), {"MY_CUSTOM_KEY": "my_value", "REPLICATE_API_TOKEN": "r8_new_token"}
        )

        # Delete a secret
        secrets.delete_secret("MY_CUSTOM_KEY")
        self.assertIsNone(secrets.get("MY_CUSTOM_KEY"))

    def test_custom_configuration(self):
        custom = self.write("custom/path/secrets.json", '{"HF_TOKEN": "hf_custom"}')

        from st_secrets.secrets import SecretsManager, get_secrets_manager

        first = get_secrets_manager()
        # Reset singleton for custom configuration
        SecretsManager.reset()

        # Create with custom config
        secrets = SecretsManager(
            config={
                "file_path": str(custom),
                "aws_secret_name": "myapp/secrets",
                "aws_region": "eu-west-1",
                "vault_url": "https://vault.internal:8200",
                "vault_token": "s.token",
                "vault_path": "myapp/simpletuner",
            }
        )
        self.assertEqual(secrets.get("HF_TOKEN"), "hf_custom")
        self.assertIs(secrets, get_secrets_manager())
        self.assertIs(secrets, SecretsManager())
        self.assertIsNot(secrets, first)


class CacheSystem(Case):
    def test_initialization(self):
        from st_secrets.cache import TTLCache

        cache = TTLCache[str](
            default_ttl=300.0,  # 5 minutes default TTL
            max_size=1000,  # Maximum entries before eviction
            cleanup_interval=60.0,  # Cleanup expired entries every 60s
        )
        self.assertIsInstance(cache, TTLCache)
        self.assertEqual(cache.stats()["max_size"], 1000)

    def test_global_caches(self):
        from st_secrets.cache import get_provider_config_cache, get_user_permission_cache

        # Access global caches
        provider_cache = get_provider_config_cache()
        user_cache = get_user_permission_cache()
        for cache, ttl, size in ((provider_cache, 300.0, 100), (user_cache, 60.0, 500)):
            self.assertEqual((cache.stats()["default_ttl"], cache.stats()["max_size"]), (ttl, size))

    def test_basic_operations(self):
        def compute_value():
            return {"computed": True}

        async def async_compute_value():
            return {"computed": "async"}

        from st_secrets.cache import TTLCache

        cache = TTLCache[dict](default_ttl=120.0)

        # Set a value (uses default TTL)
        cache.set("my_key", {"data": "value"})

        # Set with custom TTL
        cache.set("my_key", {"data": "value"}, ttl=60.0)

        # Get a value (returns None if expired or missing)
        value = cache.get("my_key")
        self.assertEqual(value, {"data": "value"})
        self.assertIs(value, cache.get("my_key"))

        # Get or compute if missing
        value = cache.get_or_set("my_key", lambda: compute_value())
        self.assertEqual(value, {"data": "value"})
        self.assertEqual(cache.get_or_set("other_key", lambda: compute_value()), {"computed": True})

        # Async version
        async def main():
            value = await cache.get_or_set_async("my_key", async_compute_value)
            self.assertEqual(value, {"data": "value"})
            self.assertEqual(await cache.get_or_set_async("third_key", async_compute_value), {"computed": "async"})

        asyncio.run(main())

        # Delete a specific key
        self.assertTrue(cache.delete("my_key"))
        self.assertIsNone(cache.get("my_key"))

        # Get cache statistics
        stats = cache.stats()
        # {"size": 42, "max_size": 1000, "expired_count": 3, "default_ttl": 120.0}
        expected = {"size": 2, "max_size": 1000, "expired_count": 0, "default_ttl": 120.0}
        self.assertEqual({name: stats[name] for name in expected}, expected)

        # Clear all entries
        count = cache.clear()
        self.assertEqual(count, 2)

    def test_provider_metadata(self):
        from st_secrets.cache import get_provider_config_cache
        from st_secrets.storage import ProviderConfigStore

        store = ProviderConfigStore()
        store.save_sync("replicate", {"webhook_url": "https://x", "cost_limit_amount": 1.5})
        self.assertIsNone(get_provider_config_cache().get("provider:replicate:config"))
        config = store.get_sync("replicate")
        self.assertEqual(config, {"webhook_url": "https://x", "cost_limit_amount": 1.5})
        # On read: Store result in cache with 5-minute TTL
        self.assertEqual(get_provider_config_cache().get("provider:replicate:config"), config)
        # On write: Invalidate cache for `provider:{name}:*`
        get_provider_config_cache().set("provider:replicate:other", 1)
        store.update_sync("replicate", {"cost_limit_amount": 2})
        self.assertIsNone(get_provider_config_cache().get("provider:replicate:other"))
        self.assertEqual(store.get_sync("replicate"), {"webhook_url": "https://x", "cost_limit_amount": 2})

    def test_invalidation(self):
        from st_secrets.cache import (
            get_provider_config_cache,
            get_user_permission_cache,
            invalidate_provider_cache,
            invalidate_user_cache,
        )

        get_provider_config_cache().set("provider:replicate:config", {})
        get_user_permission_cache().set("user:123:permissions", ["a"])
        get_user_permission_cache().set("user:12:permissions", ["b"])

        # Invalidate all cached config for a provider
        invalidate_provider_cache("replicate")

        # Invalidate all cached data for a user
        invalidate_user_cache(user_id=123)
        self.assertIsNone(get_provider_config_cache().get("provider:replicate:config"))
        self.assertIsNone(get_user_permission_cache().get("user:123:permissions"))
        self.assertEqual(get_user_permission_cache().get("user:12:permissions"), ["b"])

        cache = get_provider_config_cache()
        cache.set("provider:replicate:config", {})

        # Invalidate all keys starting with "provider:replicate:"
        count = cache.invalidate_prefix("provider:replicate:")
        self.assertEqual(count, 1)

    def test_hardware_info(self):
        from st_secrets.replicate_client import (
            DEFAULT_HARDWARE_INFO,
            clear_hardware_info_cache,
            get_hardware_cost_per_hour,
            get_hardware_info,
            get_hardware_info_async,
            set_hardware_info,
        )
        from st_secrets.storage import ProviderConfigStore

        store = ProviderConfigStore()

        async def main():
            # Get hardware info (uses cache or defaults)
            info = get_hardware_info()
            self.assertEqual(info, DEFAULT_HARDWARE_INFO)
            info = await get_hardware_info_async(store)
            self.assertEqual(info, DEFAULT_HARDWARE_INFO)
            self.assertFalse((self.home / "state").exists())

            await store.save("replicate", {"hardware_info": {"gpu-x": {"name": "X", "cost_per_second": 0.5}}})
            # Clear cache to force reload from config
            clear_hardware_info_cache()
            self.assertEqual(get_hardware_info(), {"gpu-x": {"name": "X", "cost_per_second": 0.5}})

            # Manually set hardware info (updates cache)
            set_hardware_info({"gpu-l40s": {"name": "L40S (48GB)", "cost_per_second": 0.000975}})
            self.assertEqual(list(get_hardware_info()), ["gpu-l40s"])
            self.assertEqual(get_hardware_cost_per_hour("gpu-l40s"), 3.51)

        asyncio.run(main())
        self.assertEqual(
            DEFAULT_HARDWARE_INFO,
            {
                "gpu-l40s": {"name": "L40S (48GB)", "cost_per_second": 0.000975},
                "gpu-a100-large": {"name": "A100 (80GB)", "cost_per_second": 0.001400},
                "gpu-h100": {"name": "H100 (80GB)", "cost_per_second": 0.001525},  # only SimpleTuner's code has it
            },
        )

    def test_cached_decorator(self):
        class api_client:
            calls = 0

            @classmethod
            async def get(cls, path):
                cls.calls += 1
                return {"path": path}

        calls = []
        from st_secrets.cache import cached

        @cached(ttl=120, key_prefix="mymodule")
        def get_user(user_id: int) -> dict:
            # Expensive database query
            calls.append(user_id)
            return {"id": user_id, "name": "..."}

        @cached(ttl=60)
        async def fetch_external_data() -> dict:
            # Async API call
            return await api_client.get("/data")

        self.assertEqual(get_user(123), {"id": 123, "name": "..."})
        self.assertIs(get_user(123), get_user(123))
        self.assertEqual(calls, [123])
        # Cache key is auto-generated from function name and arguments:
        # "mymodule:get_user:123" for get_user(123)
        self.assertIs(get_user._cache.get("mymodule:get_user:123"), get_user(123))

        async def main():
            self.assertEqual(await fetch_external_data(), {"path": "/data"})
            self.assertEqual(await fetch_external_data(), {"path": "/data"})

        asyncio.run(main())
        self.assertEqual(api_client.calls, 1)

        # Access the underlying cache for manual invalidation
        get_user._cache.clear()
        get_user(123)
        self.assertEqual(calls, [123, 123])


class CredentialEncryption(Case):
    def test_encryption(self):
        from st_secrets.auth.credential_encryption import (
            decrypt_credential,
            encrypt_credential,
        )

        # Encrypt a token
        encrypted = encrypt_credential("r8_my_api_token")

        # Decrypt it back
        plaintext = decrypt_credential(encrypted)
        self.assertEqual(plaintext, "r8_my_api_token")
        self.assertNotEqual(encrypted, plaintext)
        key = self.home / ".simpletuner" / "credential.key"
        self.assertEqual(stat.S_IMODE(key.stat().st_mode), 0o600)
        # What SimpleTuner raises.
        with self.assertRaises(ValueError):
            decrypt_credential(encrypted[:-4])

    def test_key_from_the_environment(self):
        from st_secrets.auth.credential_encryption import decrypt_credential, encrypt_credential, reset_cipher

        os.environ["SIMPLETUNER_CREDENTIAL_KEY"] = "a secret"
        reset_cipher()
        encrypted = encrypt_credential("r8_my_api_token")
        reset_cipher({"key": "a secret"})
        self.assertEqual(decrypt_credential(encrypted), "r8_my_api_token")
        self.assertFalse((self.home / ".simpletuner").exists())


class Troubleshooting(Case):
    def test_secret_not_found(self):
        from st_secrets.secrets import get_secrets_manager

        self.write(".simpletuner/secrets.json", "{}")
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            secrets = get_secrets_manager()

            # Check which providers are available
            for provider in secrets._providers:
                print(f"{provider.__class__.__name__}: {provider.is_available()}")
        self.assertEqual(
            printed.getvalue().splitlines(),
            [
                "EnvironmentSecretProvider: True",
                "FileSecretProvider: True",
                "AWSSecretsManagerProvider: False",
                "HashiCorpVaultProvider: False",
                "HuggingFaceProvider: False",
            ],
        )

    def test_cache_not_updating(self):
        from st_secrets.cache import get_provider_config_cache, invalidate_provider_cache

        get_provider_config_cache().set("provider:replicate:config", {})
        # Option 1: Invalidate specific provider
        invalidate_provider_cache("replicate")

        # Option 2: Clear entire cache
        cache = get_provider_config_cache()
        cache.clear()
        self.assertEqual(cache.stats()["size"], 0)
