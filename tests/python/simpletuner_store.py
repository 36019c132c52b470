"""SimpleTuner's side of the databases: its statements and formats, with Python's own sqlite3 and `cryptography`.

Reads commands from standard input and writes responses to standard output, one JSON object per line. Each command opens
its own connection, as SimpleTuner does:
  {"do": "get" | "save" | "update", "db": path, "provider": text, "config": object?}
  {"do": "sql", "db": path, "sql": text}                     ->  {"rows": [[…]]}
  {"do": "script", "db": path, "sql": text}
  {"do": "encrypt" | "decrypt", "secret": text, "text": text}
  {"do": "audit", "db": path, "key": hex, "event_type": …, "action": …, "actor_id": …, "details": object,
   "parent": hash?, "timestamp": text?}
  {"do": "sign", "db": path, "key": hex}: signs all entries again
  {"do": "verify", "db": path, "key": hex}                   ->  {"bad": [id], "count": n}
  {"do": "chain", "db": path, "key": hex}                    ->  the report of SimpleTuner's API
  {"do": "ids", "db": path, "since": text?, "until": text?}  ->  {"ids": [id]}: newest first
"""

import base64
import hashlib
import hmac
import json
import sqlite3
import sys
from datetime import datetime, timezone

from cryptography.fernet import Fernet

SALT = b"simpletuner-credential-encryption-v1"


def connect(path):
    connection = sqlite3.connect(path, timeout=30.0, isolation_level=None)
    for pragma in ("foreign_keys=ON", "journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=30000"):
        connection.execute("PRAGMA " + pragma)
    return connection


def now():
    return datetime.now(timezone.utc).isoformat()


def get(connection, provider):
    row = connection.execute("SELECT config FROM provider_config WHERE provider = ?", (provider,)).fetchone()
    return json.loads(row[0]) if row else {}


def save(connection, provider, config):
    connection.execute(
        "INSERT INTO provider_config (provider, config, updated_at) VALUES (?, ?, ?)"
        " ON CONFLICT(provider) DO UPDATE SET config = excluded.config, updated_at = excluded.updated_at",
        (provider, json.dumps(config), now()),
    )


def update(connection, provider, changes):
    connection.execute("BEGIN IMMEDIATE")
    save(connection, provider, {**get(connection, provider), **changes})
    connection.execute("COMMIT")


def fernet(secret):
    key = hashlib.pbkdf2_hmac("sha256", secret.encode(), SALT, 100_000, 32)
    return Fernet(base64.urlsafe_b64encode(key))


def sign(key, entry):
    timestamp, event_type, actor_id, action, details, previous_hash = entry
    text = f"{timestamp}|{event_type}|{actor_id}|{action}|{details}|{previous_hash}"
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def audit(connection, key, request):
    last = connection.execute("SELECT entry_hash FROM audit_log ORDER BY id DESC LIMIT 1").fetchone()
    previous = request.get("parent") or (last[0] if last else "genesis")
    details = json.dumps(request.get("details", {}))
    time = request.get("timestamp") or now()
    entry = (time, request["event_type"], request.get("actor_id"), request["action"], details, previous)
    connection.execute(
        "INSERT INTO audit_log (timestamp, event_type, actor_id, action, details, previous_hash, entry_hash)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        entry + (sign(key, entry),),
    )


def sign_all(connection, key):
    previous = "genesis"
    sql = "SELECT id, timestamp, event_type, actor_id, action, details FROM audit_log ORDER BY id"
    for row in connection.execute(sql).fetchall():
        signature = sign(key, (*row[1:], previous))
        update = "UPDATE audit_log SET previous_hash = ?, entry_hash = ? WHERE id = ?"
        connection.execute(update, (previous, signature, row[0]))
        previous = signature


def verify(connection, key):
    previous, bad, count = "genesis", [], 0
    rows = connection.execute(
        "SELECT id, timestamp, event_type, actor_id, action, details, previous_hash, entry_hash"
        " FROM audit_log ORDER BY id"
    )
    for row in rows:
        count += 1
        # The details must be exactly what json.dumps writes.
        if row[6] != previous or sign(key, row[1:7]) != row[7] or json.dumps(json.loads(row[5])) != row[5]:
            bad.append(row[0])
        previous = row[7]
    return {"bad": bad, "count": count}


def chain(connection, key):
    """The members that SimpleTuner's `/api/audit/verify` returns."""
    rows = connection.execute(
        "SELECT id, timestamp, event_type, actor_id, action, details, previous_hash, entry_hash"
        " FROM audit_log ORDER BY id"
    ).fetchall()
    links = []
    for before, row in zip([None, *rows], rows, strict=False):
        previous = before[7] if before else "genesis"
        if row[6] != previous:
            links.append({"id": row[0], "expected_previous": previous, "actual_previous": row[6]})
        signature = sign(key, row[1:7])
        if signature != row[7]:
            mismatch = {"error": "hash_mismatch", "expected_hash": signature, "actual_hash": row[7]}
            links.append({"id": row[0], **mismatch})
    ids = {"first_id": rows[0][0], "last_id": rows[-1][0]} if rows else {}
    return {"valid": not links, "entries_checked": len(rows), "broken_links": links, **ids}


def ids(connection, request):
    """SimpleTuner compares times as text."""
    conditions = [("timestamp >= ?", request.get("since")), ("timestamp <= ?", request.get("until"))]
    given = [(condition, value) for condition, value in conditions if value]
    where = " AND ".join(["1", *(condition for condition, _ in given)])
    values = [value for _, value in given]
    rows = connection.execute(f"SELECT id FROM audit_log WHERE {where} ORDER BY id DESC", values)
    return {"ids": [row[0] for row in rows]}


def answer(request):
    do = request["do"]
    if do == "encrypt":
        return {"text": base64.urlsafe_b64encode(fernet(request["secret"]).encrypt(request["text"].encode())).decode()}
    if do == "decrypt":
        token = base64.urlsafe_b64decode(request["text"].encode())
        return {"text": fernet(request["secret"]).decrypt(token).decode()}
    connection = connect(request["db"])
    try:
        if do == "get":
            return {"config": get(connection, request["provider"])}
        if do == "save":
            save(connection, request["provider"], request["config"])
        elif do == "update":
            update(connection, request["provider"], request["config"])
        elif do == "sql":
            return {"rows": connection.execute(request["sql"]).fetchall()}
        elif do == "script":
            connection.executescript(request["sql"])
        elif do == "audit":
            audit(connection, bytes.fromhex(request["key"]), request)
        elif do == "sign":
            sign_all(connection, bytes.fromhex(request["key"]))
        elif do == "verify":
            return verify(connection, bytes.fromhex(request["key"]))
        elif do == "chain":
            return chain(connection, bytes.fromhex(request["key"]))
        elif do == "ids":
            return ids(connection, request)
        return {}
    finally:
        connection.close()


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)
