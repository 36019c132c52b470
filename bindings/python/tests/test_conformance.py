"""The results that every binding must return: tests/vectors/conformance.json, and the keys of function calls."""

import concurrent.futures
import json
import math
import multiprocessing
import os
import stat
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

import st_secrets
from st_secrets import Cipher, SecretsManager, Store, TTLCache, _native, cached

VECTORS = Path(__file__).resolve().parents[3] / "tests" / "vectors"


SERVERS = {
    name.removeprefix("CONFORMANCE_"): value for name, value in os.environ.items() if name.startswith("CONFORMANCE_")
}


class Answers:
    """A provider with a fixed set of answers."""

    def __init__(self, name, answers):
        self.name, self.answers = name, answers

    def get_secret(self, key):
        answer = self.answers.get(key, {})
        if "status" in answer:
            raise error_with(answer["status"])
        return answer.get("value")


def error_with(name):
    for status in range(-99, 0):
        if _native.status_name(status) == name:
            return st_secrets.errors.make(status, 0, 0, 0, "an answer of the test")
    raise AssertionError(name)


class World:
    """The state of a case: its directory and open handles."""

    def __init__(self, directory, opened):
        self.directory = directory
        self.requests = 0
        for kind, settings in opened.items():
            settings = (
                {key: self.place(value) for key, value in settings.items()} if isinstance(settings, dict) else None
            )
            if kind == "secrets":
                self.settings = settings
                SecretsManager.reset()
                self.secrets = SecretsManager(config=settings)
            elif kind == "cache":
                self.cache = TTLCache(**settings)
            elif kind == "cipher":
                self.cipher = Cipher(settings)
            elif kind == "store":
                self.store = Store(settings)
        self.provider_cache = st_secrets.get_provider_config_cache()
        self.user_cache = st_secrets.get_user_permission_cache()

    def place(self, text):
        for name, value in {"DIR": self.directory, "HOME": self.directory / "home", **SERVERS}.items():
            if isinstance(text, str) and text.startswith(f"${name}"):
                return str(value) + text[len(name) + 1 :]
        return text

    def path(self, name):
        return self.directory / self.place(name)

    def do(self, step):
        kind, _, name = step["do"].partition(".")
        return getattr(self, f"{kind}_{name}" if name else kind)(step)

    def value(self, value):
        if value is None:
            raise st_secrets.errors.make(-1, 0, 0, 0, "None")
        return {"value": value}

    def secrets_get(self, step):
        with self.secrets.find(step["key"]) as secret:
            value = secret.reveal_bytes()
        assert self.secrets.require(step["key"]).encode() == value
        assert self.secrets.get_bytes(step["key"]) == value
        return {"value": value}

    def secrets_get_with(self, step):
        with self.secrets.find(step["key"], **dict.fromkeys(step["flags"], True)) as secret:
            return origin(secret)

    def process_get_with(self, step):
        """Gets a secret in another process, which opens a manager of its own."""
        spawn = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(1, spawn) as process:
            return process.submit(origin_in_process, self.settings, step["key"]).result()

    def secrets_prefetch(self, step):
        self.secrets.prefetch()

    def secrets_clear_cache(self, step):
        self.secrets.clear_cache()

    def secrets_share(self, step):
        share = self.secrets.share()
        return {"value": share["share"], "count": len(share["documents"])}

    def aws_requests(self, step):
        """Returns how many requests AWS has logged since the last call."""
        before, self.requests = self.requests, Path(SERVERS["AWS_LOG"]).read_text().count('"POST / HTTP/1.1"')
        return {"count": self.requests - before}

    def secrets_get_many(self, step):
        found = self.secrets.get_many(step["keys"])
        missing = {"status": "ST_NOT_FOUND"}
        return {"results": [{"value": found[key]} if key in found else missing for key in step["keys"]]}

    def secrets_set(self, step):
        assert self.secrets.set_secret(step["key"], step["value"], strict=True) is True

    def secrets_set_replicate_token(self, step):
        assert self.secrets.set_replicate_token(step["value"], strict=True) is True

    def secrets_delete(self, step):
        return {"existed": self.secrets.delete_secret(step["key"], strict=True)}

    def secrets_refresh(self, step):
        self.secrets.refresh()

    def secrets_file_path(self, step):
        return {"value": str(self.secrets.get_secrets_file_path())}

    def secrets_get_replicate_token(self, step):
        return self.value(self.secrets.get_replicate_token())

    def secrets_get_hf_token(self, step):
        return self.value(self.secrets.get_hf_token())

    def secrets_get_webhook_secret(self, step):
        return self.value(self.secrets.get_webhook_secret())

    def secrets_add_provider(self, step):
        position = None if step["position"] == "last" else step["position"]
        self.secrets.add_provider(Answers(step["name"], step["answers"]), position)

    def file_read(self, step):
        return {"value": self.path(step["path"]).read_text(encoding="utf-8")}

    def file_mode(self, step):
        return {"value": f"{stat.S_IMODE(self.path(step['path']).stat().st_mode):o}"}

    def file_write(self, step):
        write(self.path(step["path"]), step)

    def env_set(self, step):
        if step["value"] is None:
            del os.environ[step["name"]]
        else:
            os.environ[step["name"]] = step["value"]

    def sleep(self, step):
        time.sleep(step["seconds"])

    def cache_set(self, step, cache=None):
        ttl = {"inf": math.inf}.get(step.get("ttl"), step.get("ttl"))
        (cache or self.cache).set(step["key"], step["value"], ttl)

    def cache_get(self, step, cache=None):
        return self.value((cache or self.cache).get(step["key"]))

    def provider_cache_set(self, step):
        self.cache_set(step, self.provider_cache)

    def provider_cache_get(self, step):
        return self.cache_get(step, self.provider_cache)

    def user_cache_set(self, step):
        self.cache_set(step, self.user_cache)

    def user_cache_get(self, step):
        return self.cache_get(step, self.user_cache)

    def cache_delete(self, step):
        return {"existed": self.cache.delete(step["key"])}

    def cache_clear(self, step):
        return {"count": self.cache.clear()}

    def cache_invalidate_prefix(self, step):
        return {"count": self.cache.invalidate_prefix(step["prefix"])}

    def cache_stats(self, step):
        stats = self.cache.stats()
        stats["entries"] = stats["size"]
        return {"stats": {name: stats[name] for name in step["expect"]["stats"]}}

    def cache_get_or_load(self, step):
        loaded = False

        def load():
            nonlocal loaded
            loaded = True
            if "status" in step["load"]:
                raise error_with(step["load"]["status"])
            return step["load"]["value"]

        try:
            return {"value": self.cache.get_or_set(step["key"], load), "loaded": loaded}
        except st_secrets.Error:
            return {"failed": True, "loaded": loaded}

    def invalidate_provider(self, step):
        return {"count": st_secrets.invalidate_provider_cache(step["provider"])}

    def invalidate_user(self, step):
        return {"count": st_secrets.invalidate_user_cache(step["user_id"])}

    def cipher_decrypt(self, step):
        return {"value": self.cipher.decrypt(step["token"])}

    def cipher_round_trip(self, step):
        token = self.cipher.encrypt(step["value"])
        return {"value": self.cipher.decrypt_text(token), "length": len(token)}

    def cipher_reencrypt(self, step):
        token, changed = self.cipher.reencrypt(step["token"])
        return {"changed": changed, "value": self.cipher.decrypt_text(token)}

    def cipher_rotate_key(self, step):
        self.cipher.rotate_key()

    def store_config_get(self, step):
        return {"value": self.store._config_get(step["provider"])}

    def store_config_save(self, step):
        self.store._config_save(step["provider"], step["json"])

    def store_config_update(self, step):
        self.store._config_update(step["provider"], step["json"])

    def store_config_delete(self, step):
        return {"existed": self.store.delete_provider_config(step["provider"])}

    def store_webhook_get(self, step):
        return {"value": self.store._webhook_get(step["provider"])}

    def store_cost_limit_get(self, step):
        return {"value": self.store._cost_limit_get(step["provider"])}

    def store_hardware_get(self, step):
        return {"value": self.store._hardware_get()}

    def store_hardware_set(self, step):
        self.store._hardware_set(step["json"])

    def store_hardware_clear(self, step):
        self.store.clear_hardware_info()

    def store_hardware_cost(self, step):
        return {"number": self.store.hardware_cost_per_hour(step["hardware_id"])}

    def store_credential_set(self, step):
        self.store.set_credential(*credential(step), step["value"], self.cipher)

    def store_credential_get(self, step):
        return {"value": self.store.credential(*credential(step), self.cipher)}

    def store_credential_delete(self, step):
        return {"existed": self.store.delete_credential(*credential(step))}

    def store_credential_resolve(self, step):
        resolve = self.store.resolve_credential
        origin, value = resolve(*credential(step), step["global_key"], self.cipher, self.secrets)
        return {"origin": origin, "value": value}

    def store_audit_log(self, step):
        rest = (step.get("target_type"), step.get("target_id"), step.get("details"))
        return {"id": self.store._audit_log(step["event_type"], step["action"], *rest)}

    def store_audit_query(self, step):
        return {"ids": [entry["id"] for entry in json.loads(self.store._audit_query(step.get("filter")))]}

    def store_audit_verify(self, step):
        return {"broken_id": self.store.verify_audit(step["first"], step["last"])["broken_id"] or 0}


def origin(secret):
    info = [flag for flag in ("stale", "cached", "degraded", "shared") if getattr(secret, flag)]
    return {"value": secret.reveal(), "provider": secret.provider, "source": secret.source, "info": info}


def origin_in_process(settings, key):
    with SecretsManager.open(config=settings) as manager, manager.find(key) as secret:
        return origin(secret)


def credential(step):
    return step["user_id"], step["provider"], step["name"]


def write(path, file):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(file["text"], encoding="utf-8")
    path.chmod(int(file["mode"], 8))


def run(action):
    """Returns the result with status and source."""
    try:
        return {"status": "ST_OK", **(action() or {})}
    except st_secrets.Error as error:
        return {"status": error.name, "source": error.source}


class Conformance(unittest.TestCase):
    def check(self, world, answer, expected):
        expected = {"status": "ST_OK", **expected}
        if "hex" in expected:
            expected["value"] = bytes.fromhex(expected.pop("hex"))
        for name, value in expected.items():
            got = answer.get(name)
            if name == "value":
                value = world.place(value)
                if isinstance(got, bytes) and isinstance(value, str):
                    value = value.encode()
            self.assertEqual(got, value, name)

    def run_case(self, case, directory):
        (directory / "home").mkdir()
        for name, file in case.get("files", {}).items():
            write(directory / name, file)
        expected = dict(case["open"])
        world = World(directory, {})
        opening = expected.pop("expect", {})
        answer = run(lambda: world.__init__(directory, expected))
        self.check(world, answer, opening)
        for number, step in enumerate(case["steps"], 1):
            with self.subTest(step=number, do=step["do"]):
                self.check(world, run(lambda step=step: world.do(step)), step.get("expect", {}))

    def test_shared_table(self):
        cases = json.loads((VECTORS / "conformance.json").read_text(encoding="utf-8"))["cases"]
        for case in cases:
            if "servers" in case and not SERVERS:
                continue
            with self.subTest(case["name"]), tempfile.TemporaryDirectory() as directory:
                directory = Path(directory).resolve()
                place = World(directory, {}).place
                env = {name: place(value) for name, value in case.get("env", {}).items()}
                env.update(PATH=os.environ["PATH"], HOME=str(directory / "home"))
                with mock.patch.dict(os.environ, env, clear=True):
                    self.run_case(case, directory)
        SecretsManager.reset()

    def test_function_key_vectors(self):
        def argument(value):
            if isinstance(value, list):
                return [argument(item) for item in value]
            if isinstance(value, dict):
                ((kind, value),) = value.items()
                if kind == "map":
                    return {key: argument(item) for key, item in value.items()}
                return float(value) if kind == "float" else bytes.fromhex(value)
            return value

        for vector in json.loads((VECTORS / "function_keys.json").read_text(encoding="utf-8"))["vectors"]:
            args = [argument(value) for value in vector["args"]]
            named = {name: argument(value) for name, value in vector.get("named", {}).items()}

            def function(*args, **named):
                return "result"

            function.__name__ = vector["function"]
            function = cached(key_prefix=vector["prefix"])(function)
            with self.subTest(vector["key"]):
                function(*args, **named)
                self.assertEqual(function._cache.get(vector["key"]), "result")
                function(*(tuple(value) if isinstance(value, list) else value for value in args), **named)
                self.assertEqual(function._cache.stats()["size"], 1)


if __name__ == "__main__":
    unittest.main()
