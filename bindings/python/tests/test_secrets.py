"""The manager beyond SimpleTuner's documentation: errors, Secret, redaction."""

import asyncio
import base64
import copy
import inspect
import json
import logging
import math
import operator
import os
import pickle
import threading
import traceback
import unittest
from datetime import timedelta

import st_secrets
from st_secrets import (
    AccessDeniedError,
    ConfigError,
    EnvironmentSecretProvider,
    FileSecretProvider,
    NotFoundError,
    ProtocolError,
    SecretsManager,
    WrongTypeError,
)
from support import CANARY, Case, Dictionary


class Errors(Case):
    def test_error_attributes(self):
        path = self.write("s.json", '{"A": "' + CANARY + '",,}')
        manager = SecretsManager(config={"file_path": path})
        with self.assertRaises(ProtocolError) as raised:
            manager.require("A")
        error = raised.exception
        self.assertEqual((error.status, error.name, error.source), (-8, "ST_PROTOCOL", st_secrets.SOURCE_FILE))
        self.assertFalse(error.retryable)
        self.assertIn("s.json", error.message)
        self.assertNotIn(CANARY, error.message)
        self.assertIsInstance(error, ValueError)
        copied = pickle.loads(pickle.dumps(error))
        self.assertEqual((type(copied), copied.status, copied.source, str(copied)), (ProtocolError, -8, 2, str(error)))

    def test_system_error_has_errno(self):
        path = self.write("s.json", '{"A": "x"}', 0o644)
        manager = SecretsManager(config={"file_path": path, "strict_permissions": True})
        with self.assertRaises(PermissionError) as raised:
            manager.require("A")
        self.assertIsInstance(raised.exception, AccessDeniedError)
        self.assertIn("chmod 600", str(raised.exception))

    def test_invalid_settings(self):
        for config in (
            {"filepath": "x"},
            {"timeout": "soon"},
            {"providers": ["enviroment"]},
            {"timeout": float("nan")},
            {"file_path": object()},
        ):
            with self.assertRaises((ConfigError, TypeError)) as raised:
                SecretsManager(config=config)
            self.assertTrue(str(raised.exception))
        with self.assertRaisesRegex(ConfigError, "file_path"):
            SecretsManager(config={"filepath": CANARY})

    def test_settings_that_differ_from_the_existing_manager(self):
        manager = SecretsManager(config={"env_prefix": "MYAPP"})
        self.assertIs(SecretsManager(config={"env_prefix": "MYAPP"}), manager)
        with self.assertLogs("st_secrets.secrets", logging.WARNING) as logs:
            self.assertIs(SecretsManager(config={"env_prefix": "OTHER"}), manager)
        self.assertIn("reset", logs.output[0])
        self.assertEqual(logs.records[0].pathname, __file__)

    def test_find_raises_where_get_returns_the_default(self):
        with self.assertRaises(NotFoundError) as raised:
            SecretsManager().find("NOTHING")
        self.assertIsInstance(raised.exception, LookupError)
        self.assertIn("NOTHING", str(raised.exception))
        with self.assertRaises(NotFoundError) as raised:
            SecretsManager().require("NOTHING")
        self.assertIn("NOTHING", str(raised.exception))
        os.environ["SOMETHING"] = "value"
        self.assertEqual(SecretsManager().require("SOMETHING"), "value")

    def test_value_that_is_not_text(self):
        os.environb[b"BYTES"] = b"\xff\x00"[:1] + b"\xfe"
        manager = SecretsManager()
        self.assertEqual(manager.get_bytes("BYTES"), b"\xff\xfe")
        with self.assertRaises(WrongTypeError) as raised:
            manager.require("BYTES")
        self.assertNotIn("ff", repr(vars(raised.exception)))
        self.assertEqual(manager.get("BYTES", "default"), "default")


class Share(Case):
    def test_share_is_off(self):
        with SecretsManager.open(config={"providers": ["env"]}) as manager:
            manager.prefetch()
            manager.prefetch(timeout=timedelta(seconds=60))
            asyncio.run(manager.prefetch_async(60))
            nothing = {"share": "off", "directory": None, "owner": None, "refused": None, "documents": [], "tier": None}
            self.assertEqual(manager.share(), nothing)
            self.assertEqual(manager.check()["share"]["state"], "absent")
            with self.assertRaises(st_secrets.errors.InvalidArgumentError):
                manager.prefetch(-2)
        for closed in (manager.prefetch, manager.share):
            self.assertRaises(ValueError, closed)

    def test_share_is_refused(self):
        self.home.chmod(0o755)
        with SecretsManager.open(config={"share": "host", "share_dir": self.home}) as manager:
            share = manager.share()
            self.assertEqual(
                (share["share"], share["directory"], share["owner"]), ("host", str(self.home), os.geteuid())
            )
            self.assertIn("chmod 700", share["refused"])
            self.assertEqual(manager.check()["share"]["state"], "warning")

    def test_key_of_the_share_is_not_shown(self):
        with self.assertRaises(ConfigError) as raised:
            SecretsManager.open(config={"share": "host", "share_key": CANARY})
        self.assertIn("share_key", str(raised.exception))
        self.assertNotIn(CANARY, "".join(traceback.format_exception(raised.exception)))
        key = base64.b64encode(CANARY.encode().ljust(32)[:32]).decode()
        with SecretsManager.open(config={"share": "off", "share_key": key}) as manager:
            self.assertNotIn(key, f"{manager!r} {manager.describe()} {manager._kept!r}")


class Secrets(Case):
    def test_secret_has_its_origin(self):
        os.environ["TOKEN"] = CANARY
        secret = SecretsManager().find("TOKEN")
        self.assertEqual((secret.provider, secret.source, secret.version), ("env", st_secrets.SOURCE_ENV, ""))
        self.assertEqual((secret.stale, secret.cached, secret.degraded, secret.age), (False, False, False, 0.0))
        self.assertIs(secret.shared, False)
        self.assertEqual((secret.reveal(), secret.reveal_bytes()), (CANARY, CANARY.encode()))

    def test_secrets_are_equal_if_their_values_are(self):
        os.environ.update(A=CANARY, B=CANARY, SHORT=CANARY[:-1], LAST=CANARY[:-1] + "~", EMPTY="")
        manager = SecretsManager()
        a, b, short, last = (manager.find(key) for key in ("A", "B", "SHORT", "LAST"))
        self.assertTrue(a == b and a == a and not a != b)
        self.assertTrue(a != short and a != last and not a == last)
        self.assertFalse(a == CANARY or a == CANARY.encode() or a == None)  # noqa: E711
        with self.assertRaises(TypeError):
            hash(a)
        with self.assertRaises(TypeError):
            operator.lt(a, b)
        b.close()
        self.assertTrue(b == b and a != b and b != a)

    def test_secret_can_be_closed_repeatedly(self):
        os.environ["TOKEN"] = CANARY
        with SecretsManager().find("TOKEN") as secret:
            secret.reveal()
        secret.close()
        for use in (secret.reveal, secret.reveal_bytes, secret.__enter__().reveal):
            with self.assertRaisesRegex(ValueError, "closed"):
                use()

    def test_get_many(self):
        os.environ.update(A="1", B="2")
        manager = SecretsManager()
        self.assertEqual(manager.get_many(["B", "NOTHING", "A"]), {"B": "2", "A": "1"})
        self.assertEqual(manager.get_many(iter(())), {})
        self.write(".simpletuner/secrets.json", "[]")
        SecretsManager.reset()
        with self.assertRaises(ProtocolError):
            SecretsManager().get_many(["A", "NOTHING"])

    def test_errors_name_the_invalid_setting(self):
        for value in (object(), math.nan, {1, 2}, b"bytes"):
            with self.assertRaisesRegex(TypeError, "the setting 'timeout' must be"):
                SecretsManager(config={"providers": ["env"], "timeout": value})
        with self.assertRaisesRegex(TypeError, "the name of a setting must be"):
            SecretsManager(config={("timeout",): 1})
        SecretsManager(config={"timeout": 5, "env_prefix": "A", "vault_token": CANARY})
        with self.assertLogs("st_secrets.secrets", logging.WARNING) as logs:
            SecretsManager(config={"timeout": 5, "env_prefix": "B"})
            SecretsManager([EnvironmentSecretProvider()])
        self.assertIn("(env_prefix, vault_token)", logs.output[0])
        self.assertIn("(providers)", logs.output[1])
        self.assertNotIn(CANARY, str(logs.output))

    def test_help_shows_parameters_and_exceptions(self):
        for name, words in {
            "find": ("timeout: seconds", "cached_only: ", "NotFoundError: "),
            "get": ("skipped",),
            "require": ("NotFoundError: ", "Error: "),
            "set_secret": ("ProtocolError: ",),
            "get_many": ("Error: ",),
            "refresh": ("Error: ",),
        }.items():
            method = getattr(SecretsManager, name)
            self.assertEqual([word for word in words if word not in method.__doc__], [], name)
            self.assertIn("self", inspect.signature(method).parameters)
        self.assertEqual(
            list(inspect.signature(SecretsManager.find).parameters),
            ["self", "key", "timeout", "refresh", "cached_only"],
        )

    def test_closed_manager_raises(self):
        manager = SecretsManager()
        manager.close()
        manager.close()
        for use in (
            lambda: manager.get("A"),
            lambda: manager.find("A"),
            manager.clear_cache,
            manager.describe,
            lambda: manager.get_many(["A"]),
            lambda: manager.add_provider(Dictionary({})),
        ):
            with self.assertRaisesRegex(ValueError, "closed"):
                use()

        self.assertEqual(repr(manager), "<SecretsManager, closed>")
        self.assertIsNone(st_secrets.get_secrets_manager().get("A"))

    def test_keyword_arguments(self):
        manager = SecretsManager()
        self.assertTrue(manager.set_secret(key="A", value="1"))
        self.assertTrue(manager.set_replicate_token(token="r8"))
        self.assertEqual((manager.get(key="A", default="2"), manager.get_replicate_token()), ("1", "r8"))
        self.assertTrue(manager.delete_secret(key="A"))
        self.assertTrue(
            all(inspect.signature(getattr(manager, name)) for name in ("get", "find", "set_secret", "close"))
        )

    def test_close_during_calls_of_other_threads(self):
        begun, proceed, results = threading.Event(), threading.Event(), []

        class Slow:
            name = "slow"

            def get_secret(self, key):
                begun.set()
                proceed.wait()
                return "late"

        manager = SecretsManager(config={"providers": ["env"]})
        manager.add_provider(Slow())
        thread = threading.Thread(target=lambda: results.append(manager.get("A")))
        thread.start()
        begun.wait()
        manager.close()
        proceed.set()
        thread.join()
        self.assertEqual(results, ["late"])
        with self.assertRaises(ValueError):
            manager.get("A")


class Managers(Case):
    def test_several_managers(self):
        os.environ.update(ONE_A="1", TWO_A="2")
        shared = SecretsManager()
        with (
            SecretsManager.open(config={"env_prefix": "ONE"}) as one,
            SecretsManager.open([EnvironmentSecretProvider("TWO")]) as two,
        ):
            self.assertEqual([one.get("A"), two.get("A"), shared.get("A")], ["1", "2", None])
            self.assertIs(SecretsManager(), shared)
        with self.assertRaisesRegex(ValueError, "closed"):
            one.get("A")
        self.assertIsNone(shared.get("A"))

    def test_timedelta_as_a_time(self):
        os.environ["A"] = "1"
        manager = SecretsManager(config={"timeout": timedelta(seconds=3)})
        self.assertEqual(manager.find("A", timeout=timedelta(milliseconds=500)).reveal(), "1")
        manager.refresh(timedelta(seconds=5))
        with self.assertRaises(ValueError):
            manager.find("A", timeout=timedelta(seconds=-1))
        with self.assertRaises(TypeError):
            manager.find("A", timeout="5")


class Redaction(Case):
    def test_objects_with_secrets_do_not_show_them(self):
        os.environ["TOKEN"] = CANARY
        manager = SecretsManager([EnvironmentSecretProvider()], {"vault_token": CANARY})
        secret = manager.find("TOKEN")
        cipher = st_secrets.Cipher({"key": CANARY})
        resolved = st_secrets.store.Resolved(1, CANARY)
        holders = [
            manager,
            secret,
            cipher,
            resolved,
            *manager._providers,
            st_secrets.HashiCorpVaultProvider(token=CANARY),
        ]
        for holder in holders:
            shown = [
                repr(holder),
                str(holder),
                f"{holder}",
                f"{holder!s:>60}",
                "%s %r" % (holder, holder),  # noqa: UP031
                repr(getattr(holder, "__dict__", {})),
                repr([holder]),
                str(dir(holder)),
                repr(manager.describe()),
                repr(manager.check()),
            ]
            self.assertNotIn(CANARY, "".join(shown))
            if holder is not resolved:
                for dump in (json.dumps, pickle.dumps, copy.deepcopy):
                    with self.assertRaises(TypeError):
                        dump(holder)
        with self.assertLogs(level=logging.INFO) as logs:
            logging.info("%s %r", secret, manager)
        self.assertNotIn(CANARY, str(logs.output))

    def test_exceptions_do_not_contain_arguments(self):
        bad = CANARY + "\ud800"
        for use in (
            lambda: SecretsManager().set_secret("A", bad),
            lambda: SecretsManager().get(bad),
            lambda: st_secrets.encrypt_credential(bad),
            lambda: SecretsManager.open(config={"vault_token": {CANARY}}),
        ):
            with self.assertRaises((ValueError, TypeError)) as raised:
                use()
            error = raised.exception
            self.assertNotIn(CANARY, f"{error!r} {error.__context__!r} {vars(error)!r}")

    def test_traceback_frames_do_not_contain_arguments(self):
        configs = st_secrets.storage.ProviderConfigStore()
        bad, hook, unwritable = (
            CANARY + "\ud800",
            {"webhook_secret": CANARY},
            {"webhook_secret": CANARY, "other": object()},
        )
        uses = [
            lambda: SecretsManager(config={"vault_tokn": CANARY}),
            lambda: SecretsManager(config={"vault_token": bad}),
            lambda: SecretsManager(config={"vault_token": {CANARY}}),
            lambda: SecretsManager(config=[CANARY]),
            lambda: st_secrets.HashiCorpVaultProvider(url=f"http://u:{CANARY}@127.0.0.1:1", token=CANARY),
            lambda: st_secrets.Cipher({"kei": CANARY}),
            lambda: st_secrets.reset_cipher({"kei": CANARY}),
            lambda: st_secrets.encrypt_credential(bad),
            lambda: st_secrets.decrypt_credential(CANARY),
            lambda: st_secrets.reencrypt_credential(CANARY),
            lambda: SecretsManager().set_secret("", CANARY, strict=True),
            lambda: st_secrets.Store().set_credential(-1, "p", "n", CANARY),
            lambda: configs.update_sync("", hook),
            lambda: configs.save_sync("p", unwritable),
            lambda: asyncio.run(configs.save("", hook)),
            lambda: asyncio.run(configs.update("p", unwritable)),
        ]
        for number, use in enumerate(uses):
            with self.subTest(number):
                try:
                    use()
                    self.fail("it is an error")
                except (TypeError, ValueError) as error:
                    while error is not None:
                        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
                        for frame in frames:
                            if frame.f_code.co_filename != __file__:
                                self.assertNotIn(CANARY, repr(frame.f_locals), frame)
                        error = error.__context__

    def test_log_reports_failed_providers_and_its_level_can_be_raised(self):
        self.write(".simpletuner/secrets.json", '{"A": "' + CANARY + '"}', 0o644)
        with self.assertLogs("st_secrets", logging.WARNING) as logs:
            self.assertEqual(SecretsManager().get("A"), CANARY)
        self.assertIn("secrets.json", str(logs.output))
        place = inspect.currentframe().f_code
        for record in logs.records:  # the program's call of the library, even through code of the package
            self.assertEqual((record.funcName, record.pathname), (place.co_name, place.co_filename))
        with self.assertLogs("st_secrets", logging.WARNING) as logs:
            FileSecretProvider(self.home / ".simpletuner/secrets.json").is_available()
            FileSecretProvider(self.home / ".simpletuner/secrets.json").get_secret("A")
        self.assertEqual({record.funcName for record in logs.records}, {place.co_name})
        st_secrets.set_log_level(logging.DEBUG)
        self.addCleanup(st_secrets.set_log_level, logging.WARNING)
        SecretsManager.reset()
        with self.assertLogs("st_secrets", logging.DEBUG) as logs:
            SecretsManager().get("A")
        self.assertGreater(len(logs.output), 1)
        self.assertNotIn(CANARY, str(logs.output))
        fields = [record.st_secrets for record in logs.records]
        self.assertIn({"key": "A", "provider": "file"}, fields)
        self.assertIn(str(self.home / ".simpletuner/secrets.json"), [each.get("path") for each in fields])
        self.assertNotIn(CANARY, str(fields))


if __name__ == "__main__":
    unittest.main()
