"""Compares the store with the same in Python: as SimpleTuner does it, with a connection for each call, and with one
kept connection.

usage: store.py PROGRAM DIRECTORY
"""

import base64
import hashlib
import hmac
import json
import os
import sqlite3
import subprocess
import sys
import time
from datetime import datetime, timezone

from cryptography.fernet import Fernet

ROUNDS = 25
CONFIG = {
    "webhook_url": "https://example.com/hook",
    "webhook_secret": "0123456789abcdef",
    "webhook_require_signature": True,
    "webhook_allowed_ips": ["10.0.0.0/8"],
    "cost_limit_enabled": True,
    "cost_limit_amount": 25.5,
    "cost_limit_period": "daily",
    "cost_limit_action": "warn",
}
SALT = b"simpletuner-credential-encryption-v1"
FERNET = Fernet(base64.urlsafe_b64encode(hashlib.pbkdf2_hmac("sha256", b"a secret for measuring", SALT, 100_000, 32)))


def connect(path):
    connection = sqlite3.connect(path, timeout=30.0, isolation_level=None)
    connection.row_factory = sqlite3.Row
    for pragma in ("foreign_keys=OFF", "journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=30000"):
        connection.execute("PRAGMA " + pragma)
    return connection


def now():
    return datetime.now(timezone.utc).isoformat()


class Store:
    def __init__(self, directory, keep):
        self.paths = {"jobs": os.path.join(directory, "cloud", "jobs.db"), "audit": os.path.join(directory, "audit.db")}
        self.kept = {name: connect(path) for name, path in self.paths.items()} if keep else None
        with open(os.path.join(directory, "audit.key"), "rb") as file:
            self.key = file.read()
        self.cache = {}

    def open(self, name):
        return self.kept[name] if self.kept else connect(self.paths[name])

    def close(self, connection):
        if not self.kept:
            connection.close()

    def audit(self, event_type="config.changed", action="test", details=None):
        details = details or {"changed": ["a"]}
        connection = self.open("audit")
        connection.execute("BEGIN IMMEDIATE")
        last = connection.execute("SELECT entry_hash FROM audit_log ORDER BY id DESC LIMIT 1").fetchone()
        previous, stamp, text = last["entry_hash"], now(), json.dumps(details)
        signed = f"{stamp}|{event_type}|None|{action}|{text}|{previous}"
        digest = hmac.new(self.key, signed.encode(), hashlib.sha256).hexdigest()
        connection.execute(
            "INSERT INTO audit_log (timestamp, event_type, actor_id, actor_username, actor_ip, target_type, target_id,"
            " action, details, previous_hash, entry_hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (stamp, event_type, None, None, None, "provider", "replicate", action, text, previous, digest),
        )
        connection.execute("COMMIT")
        self.close(connection)

    def load(self):
        connection = self.open("jobs")
        row = connection.execute("SELECT config FROM provider_config WHERE provider = ?", ("replicate",)).fetchone()
        config = json.loads(row["config"])
        self.close(connection)
        return config

    def uncached_get(self):
        self.cache.pop("provider:replicate:config", None)
        return self.cached_get()

    def cached_get(self):
        entry = self.cache.get("provider:replicate:config")
        if entry and entry[1] > time.time():
            return entry[0]
        config = self.load()
        self.cache["provider:replicate:config"] = (config, time.time() + 300)
        return config

    def save(self):
        """Records the change first and determines the changed names, as the store does."""
        connection = self.open("jobs")
        connection.execute("BEGIN IMMEDIATE")
        row = connection.execute("SELECT config FROM provider_config WHERE provider = ?", ("replicate",)).fetchone()
        before = json.loads(row["config"])
        changed = [name for name in CONFIG if before.get(name) != CONFIG[name]]
        self.audit("provider.configured", "save", {"added": [], "changed": changed, "removed": []})
        connection.execute(
            "INSERT INTO provider_config (provider, config, updated_at) VALUES (?, ?, ?)"
            " ON CONFLICT(provider) DO UPDATE SET config = excluded.config, updated_at = excluded.updated_at",
            ("replicate", json.dumps(CONFIG), now()),
        )
        connection.execute("COMMIT")
        self.close(connection)
        self.cache.clear()

    def resolve(self):
        connection = self.open("jobs")
        row = connection.execute(
            "SELECT id, credential_value FROM provider_credentials WHERE user_id = ? AND provider = ?"
            " AND credential_name = ? AND is_active = 1",
            (1, "replicate", "api_token"),
        ).fetchone()
        value = FERNET.decrypt(base64.urlsafe_b64decode(row["credential_value"].encode())).decode()
        self.audit("credential.used", "use", {"user_id": 1, "provider": "replicate", "name": "api_token"})
        connection.execute("UPDATE provider_credentials SET last_used_at = ? WHERE id = ?", (now(), row["id"]))
        self.close(connection)
        return value


def best(call, calls):
    rounds = []
    for _ in range(ROUNDS):
        start = time.perf_counter_ns()
        for _ in range(calls):
            call()
        rounds.append((time.perf_counter_ns() - start) / calls)
    return min(rounds)


program, directory = sys.argv[1:]
NAMES = {
    "uncached_get": "provider configuration, uncached",
    "save": "save a provider configuration",
    "resolve": "resolve a credential",
    "audit": "append to the audit trail",
}


def least(times, more):
    return {name: min(time, times.get(name, time)) for name, time in more.items()}


def run():
    lines = subprocess.check_output([program, directory], text=True).splitlines()
    return {name: float(time) for name, time in map(str.split, lines)}


# Alternates, because the load of the machine varies.
ours, with_each, with_kept = {}, {}, {}
for _ in range(3):
    ours = least(ours, run())
    # Without another open connection, closing each one also closes the log, as for SimpleTuner alone.
    each = Store(directory, keep=False)
    with_each = least(with_each, {name: best(getattr(each, name), 10) / 1000 for name in NAMES})
    kept = Store(directory, keep=True)
    with_kept = least(with_kept, {name: best(getattr(kept, name), 200) / 1000 for name in NAMES})
    cached = best(kept.cached_get, 20_000)
    for connection in kept.kept.values():
        connection.close()

hit = ours["cache_hit"]
for name, text in (("cached_get", "a store's"), ("cached_get_of_the_process", "the process's")):
    own = ours[name]
    print(
        f"{f'provider configuration, cached, {text}':<44} {own:8.1f} ns   {own / hit:6.2f} cache hits"
        f"   a dict in Python {cached / own:6.1f} x"
    )
for name, text in NAMES.items():
    own = ours[name] / 1000
    print(
        f"{text:<44} {own:8.2f} us   Python {with_each[name]:8.1f} us {with_each[name] / own:6.1f} x"
        f"   one connection kept {with_kept[name]:7.1f} us {with_kept[name] / own:5.1f} x"
    )
