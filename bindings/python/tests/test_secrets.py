"""The manager beyond SimpleTuner's documentation: errors, Secret, custom providers, redaction."""

import asyncio
import copy
import gc
import inspect
import json
import logging
import math
import operator
import os
import pickle
import threading
import time
import traceback
import unittest
import weakref
from datetime import timedelta
from unittest import mock

import st_secrets
from st_secrets import (
    AccessDeniedError,
    ConfigError,
    EnvironmentSecretProvider,
    Error,
    ExecProvider,
    FileSecretProvider,
    NotFoundError,
    ProtocolError,
    SecretProvider,
    SecretsManager,
    UnavailableError,
    WrongTypeError,
    _log,
)
from support import Case

CANARY = "CANARY-of-the-tests"


class Dictionary(SecretProvider):
    """A provider in Python that counts its calls."""

    def __init__(self, values, name="dictionary"):
        self.values, self.name, self.calls = values, name, []

    def is_available(self):
        return True

    def get_secret(self, key):
        self.calls.append(key)
        value = self.values.get(key)
        if isinstance(value, BaseException):
            raise value
        return value


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


class Secrets(Case):
    def test_secret_has_its_origin(self):
        os.environ["TOKEN"] = CANARY
        secret = SecretsManager().find("TOKEN")
        self.assertEqual((secret.provider, secret.source, secret.version), ("env", st_secrets.SOURCE_ENV, ""))
        self.assertEqual((secret.stale, secret.cached, secret.degraded, secret.age), (False, False, False, 0.0))
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
            "get": ("passed over",),
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
        begun, go_on, results = threading.Event(), threading.Event(), []

        class Slow:
            name = "slow"

            def get_secret(self, key):
                begun.set()
                go_on.wait()
                return "late"

        manager = SecretsManager(config={"providers": ["env"]})
        manager.add_provider(Slow())
        thread = threading.Thread(target=lambda: results.append(manager.get("A")))
        thread.start()
        begun.wait()
        manager.close()
        go_on.set()
        thread.join()
        self.assertEqual(results, ["late"])
        with self.assertRaises(ValueError):
            manager.get("A")


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


if __name__ == "__main__":
    unittest.main()
