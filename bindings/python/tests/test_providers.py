"""Custom providers, and what the manager does about a provider that fails."""

import base64
import gc
import json
import logging
import os
import threading
import time
import traceback
import unittest
import weakref
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest import mock

import st_secrets
from st_secrets import (
    AWSParametersProvider,
    AWSSecretProvider,
    AWSSecretsProvider,
    EnvironmentSecretProvider,
    Error,
    ExecProvider,
    FileSecretProvider,
    ProtocolError,
    SecretsManager,
    UnavailableError,
    _log,
)
from support import CANARY, Case, Dictionary


class Providers(Case):
    def test_provider_answers_are_cached(self):
        provider = Dictionary({"A": "mine", "B": b"bytes"})
        manager = SecretsManager(config={"providers": ["env"]})
        manager.add_provider(provider)
        self.assertEqual(
            [manager.get("A"), manager.get("A"), manager.get("C"), manager.get("C")], ["mine", "mine", None, None]
        )
        self.assertEqual(provider.calls, ["A", "C"])
        self.assertEqual(manager.get_bytes("B"), b"bytes")
        secret = manager.find("A")
        self.assertEqual((secret.provider, secret.cached), ("dictionary", True))
        manager.clear_cache()
        manager.get("A")
        self.assertEqual(provider.calls, ["A", "C", "B", "A"])
        self.assertIs(manager._providers[1], provider)

    def test_providers_are_used_in_order(self):
        os.environ["MYAPP_A"] = "env"
        first, last = Dictionary({"A": "first", "B": "first"}, "first"), Dictionary({"C": "last"}, "last")
        path = self.write("s.json", '{"A": "file", "C": "file"}')
        manager = SecretsManager([first, EnvironmentSecretProvider("MYAPP"), FileSecretProvider(path), last])
        self.assertEqual([manager.get(key) for key in "ABC"], ["first", "first", "file"])
        self.assertEqual(
            [type(provider).__name__ for provider in manager._providers],
            ["Dictionary", "EnvironmentSecretProvider", "FileSecretProvider", "Dictionary"],
        )
        self.assertEqual(last.calls, [])
        self.assertEqual(manager._providers[1].get_secret("A"), "env")
        manager.set_secret("D", "new")
        self.assertEqual(json.loads(path.read_text())["D"], "new")

    def test_several_providers_of_a_kind(self):
        paths = [self.write(f"{name}.json", f'{{"{name}": "value of {name}"}}') for name in ("A", "B")]
        files = [FileSecretProvider(path) for path in paths]

        class KeyringOfTheWholeCompanyAndItsGuests:
            def __init__(self, key):
                self.key = key

            def get_secret(self, key):
                return "guest" if key == self.key else None

        manager = SecretsManager([*files, *map(KeyringOfTheWholeCompanyAndItsGuests, "CD")])
        self.assertEqual([manager.get(key) for key in "ABCDE"], ["value of A", "value of B", "guest", "guest", None])
        self.assertEqual([manager._providers[place] for place in (0, 1)], files)
        providers = [provider["name"] for provider in manager.describe()["providers"]]
        self.assertEqual(providers[:2], ["file", "FileSecretProvider"])
        self.assertEqual(providers[2:], ["KeyringOfTheWholeCompanyAndItsG", "KeyringOfTheWholeCompanyAndIt-2"])

    def test_subclass_overrides_get_secret(self):
        class Loud(EnvironmentSecretProvider):
            def get_secret(self, key):
                value = super().get_secret(key)
                return value and value.upper()

        os.environ["A"] = "value"
        manager = SecretsManager([Loud()])
        self.assertEqual(manager.get("A"), "VALUE")
        self.assertEqual(repr(manager), "<SecretsManager of Loud>")

    def test_programs_are_providers(self):
        first = ExecProvider(["printf", "A=1"])
        second = ExecProvider(["printf", "two"], name="second", key="B")
        self.assertEqual((first.get_secret("A"), second.get_secret("B")), ("1", "two"))
        self.assertTrue(first.is_available())
        self.assertFalse(ExecProvider(["false"]).is_available())
        with SecretsManager.open([first, second]) as secrets:
            self.assertEqual((secrets.get("A"), secrets.get("B")), ("1", "two"))
            self.assertEqual(secrets.find("B").provider, "second")
            self.assertEqual(repr(secrets), "<SecretsManager of ExecProvider, ExecProvider>")
            self.assertEqual([provider.get_secret("B") for provider in secrets._providers], [None, "two"])
        with SecretsManager.open(config={"providers": ["env", {"exec": ["printf", "A=1"], "name": "own"}]}) as secrets:
            self.assertEqual(secrets.find("A").source, st_secrets.SOURCE_EXEC)
            self.assertEqual(secrets._providers[1].get_secret("A"), "1")
        with self.assertRaisesRegex(st_secrets.ConfigError, "array of texts"):
            ExecProvider("printf A=1")

    def test_secrets_of_aws_that_are_one_value_are_providers(self):
        os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
        tls, password = AWSSecretProvider("prod/tls", key="TLS_KEY"), AWSSecretProvider("prod/password", name="second")
        with SecretsManager.open([tls, password]) as secrets:
            self.assertIsNone(secrets.get("OTHER"))  # neither has this key, so no request is sent
            self.assertEqual(repr(secrets), "<SecretsManager of AWSSecretProvider, AWSSecretProvider>")
        long = "a-secret-with-a-very-long-name/tls"
        tables = [{"aws_secret": "prod/tls", "as": "TLS_KEY"}, {"aws_secret": long}, "aws_parameters"]
        with SecretsManager.open(config={"providers": tables, "aws_region": "us-east-1"}) as secrets:
            names = [type(provider).__name__ for provider in secrets._providers]
            self.assertEqual(names, ["AWSSecretProvider", "AWSSecretProvider", "AWSParametersProvider"])
            self.assertEqual(secrets._providers[0]._setting(), tables[0])
        all_of_them = AWSSecretsProvider("prod/", tags={"app": "x"}, region_name="us-east-1")
        self.assertEqual(all_of_them._provider, "aws:prod/")
        tables = [{"aws_secrets": {"tags": {"b": "2", "a": "1"}}}, {"exec": ["printf", "A=1"]}]
        with SecretsManager.open(config={"providers": tables}) as secrets:
            names = [(type(provider).__name__, provider._provider) for provider in secrets._providers]
            self.assertEqual(names, [("AWSSecretsProvider", "aws:a=1"), ("ExecProvider", "exec")])
        self.assertFalse(AWSParametersProvider().is_available())
        self.assertFalse(st_secrets.CredentialsProvider().is_available())
        with self.assertRaisesRegex(st_secrets.ConfigError, "a path begins with"):
            AWSParametersProvider("app/prod")

    def test_secrets_of_google_and_azure_are_providers(self):
        long = "a-secret-with-a-very-long-name"
        tables = [
            {"google_secret": "projects/p/secrets/db/versions/2"},
            {"google_secret": long, "as": long},
            {"google_secrets": {"labels": {"b": "2", "a": "1"}}},
            {"azure_secret": "db-password/0123456789abcdef0123456789abcdef"},
            {"azure_secrets": {}},
            "google",
            "azure",
        ]
        names = ["google:db", "google:" + long[-24:], "google:a=1", "azure:db_password", "azure:all", "google", "azure"]
        config = {"providers": tables, "azure_vault_url": "https://train.vault.azure.net", "google_project": "p"}
        with SecretsManager.open(config=config) as secrets:
            self.assertEqual([provider["name"] for provider in secrets.describe()["providers"]], names)
            self.assertEqual([provider._provider for provider in secrets._providers], names)
        one = st_secrets.GoogleSecretProvider("db", key="DB_PASSWORD", version="3", project="p")
        self.assertEqual((one._provider, one._setting()["version"]), ("google:DB_PASSWORD", "3"))
        self.assertEqual(st_secrets.GoogleSecretsProvider("prod-", project="p")._provider, "google:prod-")
        url = "https://train.vault.azure.net"
        self.assertEqual(st_secrets.AzureSecretProvider("db-password", vault_url=url)._provider, "azure:db_password")
        self.assertEqual(st_secrets.AzureSecretsProvider("prod-", vault_url=url)._provider, "azure:prod-")
        self.assertFalse(st_secrets.GoogleSecretManagerProvider().is_available())
        self.assertFalse(st_secrets.AzureKeyVaultProvider().is_available())

    def test_items_of_1password_are_providers(self):
        long = "a section/a-field-with-a-very-long-name"
        tables = [
            {"onepassword_item": "database"},
            {"onepassword_item": "database", "field": "admin/password"},
            {"onepassword_item": "database", "vault": "ML team", "field": long},
            "onepassword",
        ]
        names = ["onepassword:database", "onepassword:password", "onepassword:" + long[-19:], "onepassword"]
        with SecretsManager.open(config={"providers": tables}) as secrets:
            self.assertEqual([provider["name"] for provider in secrets.describe()["providers"]], names)
            self.assertEqual([provider._provider for provider in secrets._providers], names)
        one = st_secrets.OnePasswordItemProvider("database", field="password", key="DB_PASSWORD")
        self.assertEqual((one._provider, one._setting()["field"]), ("onepassword:DB_PASSWORD", "password"))
        self.assertFalse(st_secrets.OnePasswordProvider().is_available())
        self.assertEqual(st_secrets.SOURCE_ONEPASSWORD, 13)

    def test_secrets_of_infisical_are_providers(self):
        tables = [
            {"infisical_path": "/train/", "environment": "dev"},
            {"infisical_path": "/", "environment": "dev"},
            {"infisical_secret": "DB", "path": "/train", "as": "DB_PASSWORD"},
            {"infisical_secret": "HF_TOKEN"},
            "infisical",
        ]
        names = ["infisical:/train", "infisical:/", "infisical:DB_PASSWORD", "infisical:HF_TOKEN", "infisical"]
        with SecretsManager.open(config={"providers": tables, "infisical_environment": "prod"}) as secrets:
            self.assertEqual([provider["name"] for provider in secrets.describe()["providers"]], names)
            self.assertEqual([provider._provider for provider in secrets._providers], names)
        one = st_secrets.InfisicalSecretProvider("DB", "prod", path="/train")
        self.assertEqual((one._provider, one._setting()["path"]), ("infisical:DB", "/train"))
        self.assertEqual(st_secrets.InfisicalPathProvider("/a", "prod")._provider, "infisical:/a")
        self.assertFalse(st_secrets.InfisicalProvider().is_available())
        self.assertEqual(st_secrets.SOURCE_INFISICAL, 14)

    def test_secrets_of_kubernetes_are_providers(self):
        asked = []

        class Server(BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append((self.path, self.headers["Authorization"]))
                *_, namespace, _, name = self.path.split("/")
                secret = {"apiVersion": "v1", "kind": "Secret", "type": "Opaque"}
                secret["metadata"] = {"name": name, "namespace": namespace, "resourceVersion": "1"}
                secret["data"] = {"A": base64.b64encode(f"{namespace}/{name}".encode()).decode()}
                body = json.dumps(secret).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        config = {
            "kubernetes_url": f"http://127.0.0.1:{server.server_port}",
            "kubernetes_token_file": self.write("token", "k8s-token"),
            "kubernetes_secret": "train",
        }
        tables = [{"kubernetes_secret": ["x", "y"], "namespace": "ml"}, "kubernetes"]
        with SecretsManager.open(config={**config, "providers": tables}) as secrets:
            self.assertEqual(secrets.get("A"), "ml/x")
            self.assertEqual([provider._provider for provider in secrets._providers], ["kubernetes:x", "kubernetes"])
            self.assertEqual(repr(secrets), "<SecretsManager of KubernetesSecretProvider, KubernetesProvider>")
            self.assertEqual([provider.get_secret("A") for provider in secrets._providers], ["ml/x", "default/train"])
        self.assertIn(("/api/v1/namespaces/ml/secrets/x", "Bearer k8s-token"), asked)
        with mock.patch.dict(os.environ, KUBERNETES_SERVICE_HOST="127.0.0.1", KUBERNETES_SERVICE_PORT="9"):
            own = st_secrets.KubernetesSecretProvider("train", namespace="ml", name="own")
            with SecretsManager.open(
                [own, st_secrets.KubernetesProvider(("a", "b"), "ml")], {"env_prefix": "X"}
            ) as secrets:
                self.assertEqual(
                    [provider["name"] for provider in secrets.describe()["providers"]], ["own", "kubernetes"]
                )
        self.assertFalse(st_secrets.KubernetesProvider().is_available())

    def test_dynamic_secrets_of_vault_are_providers(self):
        vault = {"url": "http://127.0.0.1:9", "token": CANARY}
        database = st_secrets.VaultDynamicProvider("database/creds/train", {"password": "DB_PASSWORD"}, **vault)
        pki = st_secrets.VaultDynamicProvider(
            "pki/issue/web", parameters={"common_name": "train.example"}, revoke=True, name="pki", **vault
        )
        self.assertEqual(
            database._setting(), {"vault_dynamic": "database/creds/train", "as": {"password": "DB_PASSWORD"}}
        )
        with SecretsManager.open([database, pki]) as secrets:
            self.assertEqual(repr(secrets), "<SecretsManager of VaultDynamicProvider, VaultDynamicProvider>")
            self.assertEqual([provider._provider for provider in secrets._providers], [database._provider, "pki"])
            self.assertNotIn(CANARY, f"{vars(pki)} {secrets.describe()}")

    def test_vault_secrets_of_other_mounts(self):
        table = {"vault_secret": ["kv/team", "common/train"], "as": {"user": "DB_USER"}}
        vault = {"url": "http://127.0.0.1:1", "token": "t"}
        provider = st_secrets.VaultSecretProvider(["kv/team", "common/train"], {"user": "DB_USER"}, **vault)
        self.assertEqual(provider._setting(), table)
        with SecretsManager.open(config={"providers": [table], "vault_url": "http://127.0.0.1:1"}) as secrets:
            self.assertEqual(repr(secrets), "<SecretsManager of VaultSecretProvider>")

    def test_output_of_a_program_depends_on_variables(self):
        provider = st_secrets.ExecProvider(["sops", "-d", "s.json"], depends_on=["SOPS_AGE_KEY_FILE"])
        self.assertEqual(provider._setting()["depends_on"], ["SOPS_AGE_KEY_FILE"])

    def test_empty_list_of_providers_is_the_default(self):
        os.environ["A"] = "value"
        self.assertEqual(SecretsManager(providers=[]).get("A"), "value")

    def test_unavailable_provider_is_skipped(self):
        provider = Dictionary({"A": "x"})
        provider.is_available = lambda: False
        manager = SecretsManager([EnvironmentSecretProvider(), provider])
        self.assertIsNone(manager.get("A"))
        self.assertEqual(provider.calls, [])

    def test_provider_exception_is_reported_without_its_message(self):
        failures = {
            "VALUE": (ValueError(CANARY), "ST_CALLBACK", "ValueError"),
            "TIME": (TimeoutError(CANARY), "ST_TIMEOUT", "TimeoutError"),
            "NET": (ConnectionRefusedError(CANARY), "ST_UNAVAILABLE", "ConnectionRefusedError"),
            "DENIED": (PermissionError(CANARY), "ST_ACCESS_DENIED", "PermissionError"),
            "OWN": (UnavailableError(CANARY), "ST_UNAVAILABLE", "UnavailableError"),
        }
        provider = Dictionary({key: failure[0] for key, failure in failures.items()} | {"TYPE": 5})
        os.environ["BEHIND"] = "found"
        provider.values["BEHIND"] = ValueError(CANARY)
        manager = SecretsManager([provider, EnvironmentSecretProvider()])
        with self.assertLogs("st_secrets", logging.WARNING) as logs:
            for key, (_, name, kind) in failures.items():
                with self.assertRaises(Error) as raised:
                    manager.require(key)
                self.assertEqual((raised.exception.name, raised.exception.source), (name, st_secrets.SOURCE_CUSTOM))
                self.assertIn(kind, str(raised.exception))
                self.assertIn("dictionary", str(raised.exception))
                self.assertNotIn(CANARY, "".join(traceback.format_exception(raised.exception)))
            with self.assertRaisesRegex(Error, "neither text, bytes nor None"):
                manager.require("TYPE")
            self.assertTrue(manager.find("BEHIND").degraded)
        self.assertNotIn(CANARY, str(logs.output))

    def test_interrupt_in_a_provider_reaches_the_caller(self):
        os.environ["A"] = "behind"
        manager = SecretsManager([Dictionary({"A": KeyboardInterrupt()}), EnvironmentSecretProvider()])
        with self.assertRaises(KeyboardInterrupt):
            manager.get("A")
        manager.clear_cache()
        self.assertEqual(SecretsManager().get("PATH"), os.environ["PATH"])

    def test_provider_may_use_the_manager(self):
        os.environ["REAL"] = "value"
        manager = SecretsManager(config={"providers": ["env"]})

        class Alias:
            name = "alias"

            def get_secret(self, key):
                return manager.get("REAL") if key == "ALIAS" else None

        manager.add_provider(Alias(), 0)
        self.assertEqual(manager.get("ALIAS"), "value")

    def test_provider_is_called_once_for_many_threads(self):
        class Slow(Dictionary):
            def get_secret(self, key):
                time.sleep(0.05)
                return super().get_secret(key)

        provider = Slow({"A": "slow"})
        manager = SecretsManager([provider])
        results = []
        threads = [threading.Thread(target=lambda: results.append(manager.get("A"))) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        self.assertEqual((results, provider.calls), (["slow"] * 10, ["A"]))

    def test_invalid_names_and_positions(self):
        manager = SecretsManager(config={"providers": ["env"]})
        for provider, position in (
            (Dictionary({}, "env"), None),
            (Dictionary({}, "x" * 40), None),
            (Dictionary({}), 9),
        ):
            watched = weakref.ref(provider)
            with self.assertRaises(ValueError):
                manager.add_provider(provider, position)
            del provider
        self.assertEqual(len(manager._providers), 1)
        gc.collect()
        self.assertIsNone(watched())

    def test_manager_in_a_reference_cycle_with_its_provider_is_freed(self):
        provider = Dictionary({})
        watched = weakref.ref(provider)
        manager = SecretsManager([provider])
        provider.manager = manager
        SecretsManager.reset()
        del manager, provider
        gc.collect()
        self.assertIsNone(watched())


class PassedOver(Case):
    """What SimpleTuner's names do about a provider that fails."""

    def test_broken_file_gives_the_default_and_is_logged_once(self):
        path = self.write(".simpletuner/secrets.json", '{"A": "' + CANARY + '",,}')
        manager = SecretsManager()
        with self.assertLogs("st_secrets", logging.WARNING) as logs:
            answers = [manager.get("A"), manager.get("B", default="d"), manager.get_bytes("C", b"d")]
            self.assertEqual(answers, [None, "d", b"d"])
            self.assertEqual([manager.get_hf_token(), manager.get_replicate_token()], [None, None])
            self.assertIsNone(FileSecretProvider(path).get_secret("A"))
        self.assertEqual(len(logs.output), 1, logs.output)
        self.assertIn("secrets.json", logs.output[0])
        self.assertNotIn(CANARY, logs.output[0])
        for strict in (manager.require, manager.find, lambda key: manager.get_many([key])):
            with self.assertRaises(ProtocolError):
                strict("A")
        SecretsManager.reset()
        with self.assertLogs("st_secrets", logging.WARNING):
            SecretsManager().get("A")

    def test_failure_is_logged_again_after_the_period(self):
        provider = Dictionary({"A": ValueError(), "B": ValueError()})
        with mock.patch("st_secrets._log.time") as clock, self.assertLogs("st_secrets", logging.WARNING) as logs:
            clock.monotonic.return_value = 1000.0
            manager = SecretsManager([provider])
            self.assertEqual([manager.get("A", 1), manager.get("B", 2)], [1, 2])
            self.assertEqual(len(logs.output), 1)
            clock.monotonic.return_value += _log.PERIOD
            self.assertEqual(manager.get("A", 3), 3)
            self.assertEqual(len(logs.output), 2)

    def test_set_secret_that_fails_returns_false(self):
        path = self.write(".simpletuner/secrets.json", "{broken")
        manager = SecretsManager()
        with self.assertLogs("st_secrets", logging.WARNING) as logs:
            self.assertIs(manager.set_secret("A", CANARY), False)
            self.assertIs(manager.set("A", CANARY), False)
            self.assertIs(manager.set_replicate_token(CANARY), False)
            self.assertIs(manager.delete_secret("A"), False)
            self.assertIs(FileSecretProvider(path).set_secret("A", CANARY), False)
        self.assertNotIn(CANARY, str(logs.output))
        for write in (
            lambda: manager.set_secret("A", "x", strict=True),
            lambda: manager.set_replicate_token("x", strict=True),
            lambda: manager.delete_secret("A", strict=True),
        ):
            with self.assertRaises(ProtocolError):
                write()
        self.assertEqual(path.read_text(), "{broken")

    def test_delete_secret_that_is_not_there(self):
        manager = SecretsManager()
        self.assertIs(manager.delete_secret("A"), False)
        self.assertIs(manager.set("A", "1"), True)
        self.assertEqual([manager.delete_secret("A"), manager.delete_secret("A")], [True, True])
        self.assertIs(manager.delete_secret("A", strict=True), False)
        provider = FileSecretProvider()
        self.assertIs(provider.delete_secret("A"), True)
        provider.get_file_path().unlink()
        self.assertIs(provider.delete_secret("A"), False)


if __name__ == "__main__":
    unittest.main()
