"""Shared by the tests."""

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path
from unittest import mock

import st_secrets
from st_secrets.audit import AuditStore, set_audit_webhook
from st_secrets.auth.stores import CredentialStore
from st_secrets.credential_resolver import reset_credential_resolver
from st_secrets.replicate_client import clear_hardware_info_cache
from st_secrets.secrets import SecretsManager
from st_secrets.storage import ProviderConfigStore

CANARY = "CANARY-of-the-tests"
RESETS = (
    SecretsManager.reset,
    st_secrets.reset_cipher,
    ProviderConfigStore.reset_instance,
    CredentialStore.reset_instance,
    AuditStore.reset,
    reset_credential_resolver,
    clear_hardware_info_cache,
    lambda: set_audit_webhook(None),
)


class Case(unittest.TestCase):
    """Gives each test its own home and state directories, and an environment without secrets."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.home = Path(directory.name).resolve()
        names = ("PATH", "PYTHONPATH", "LD_PRELOAD", "ASAN_OPTIONS")
        kept = {name: os.environ[name] for name in names if name in os.environ}
        self.environment = {**kept, "HOME": str(self.home), "SIMPLETUNER_STATE_DIR": str(self.home / "state")}
        patch = mock.patch.dict(os.environ, self.environment, clear=True)
        patch.start()
        self.addCleanup(patch.stop)
        for reset in RESETS:
            reset()
            self.addCleanup(reset)
        st_secrets.get_provider_config_cache().clear()
        st_secrets.get_user_permission_cache().clear()

    def write(self, name, text, mode=0o600):
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        return path

    def run_python(self, code, *args, timeout=120):
        """Runs this code in another process and returns its standard output."""
        result = subprocess.run(
            [sys.executable, "-c", code, *map(str, args)], capture_output=True, text=True, timeout=timeout, check=False
        )
        self.assertEqual((result.returncode, result.stderr), (0, ""), result.stdout)
        return result.stdout.strip()


def until(so, seconds=60):
    """Waits until a condition holds."""
    end = time.monotonic() + seconds
    while not so():
        if time.monotonic() > end:
            raise AssertionError("it does not come to be")
        time.sleep(0.001)


def resident():
    """The resident memory of this process, in KiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


def run_all(functions):
    """Runs each function in a thread of its own. Raises the first exception."""
    errors = []

    def guarded(function):
        try:
            function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(function,), daemon=True) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    if any(thread.is_alive() for thread in threads):
        raise AssertionError("a thread hangs")
    if errors:
        raise errors[0]


class Interrupted(BaseException):
    """What the handler of a signal raises."""


@contextlib.contextmanager
def interrupted_after(name):
    """Raises Interrupted when the next C function of this name returns to this thread, as the handler of a signal may,
    and expects it.
    """

    def watch(frame, event, function):
        if event == "c_return" and function.__name__ == name:
            sys.setprofile(None)
            raise Interrupted

    sys.setprofile(watch)
    try:
        yield
    except Interrupted:
        return
    finally:
        sys.setprofile(None)
    raise AssertionError("it was not interrupted")


class Thing:
    """A value that supports weak references."""


class Dictionary(st_secrets.SecretProvider):
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
