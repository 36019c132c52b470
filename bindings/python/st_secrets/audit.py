"""The audit trail. The names are those of SimpleTuner's `cloud.audit`."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from typing import Any

from ._per_path import PerPath
from ._webhook import Webhook, forward, set_audit_webhook
from .errors import InvalidArgumentError

__all__ = [
    "AuditEntry",
    "AuditEventType",
    "AuditStore",
    "Webhook",
    "audit_log",
    "get_audit_store",
    "set_audit_webhook",
]

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_NO_ENTRIES = {
    "valid": True,
    "entries_checked": 0,
    "first_id": None,
    "last_id": None,
    "broken_id": None,
    "kind": None,
    "tampered_id": None,
}


class AuditEventType(str, Enum):
    """SimpleTuner's event types. An entry may have any other text."""

    AUTH_LOGIN_SUCCESS = "auth.login.success"
    AUTH_LOGIN_FAILED = "auth.login.failed"
    AUTH_LOGOUT = "auth.logout"
    AUTH_SESSION_EXPIRED = "auth.session.expired"
    AUTH_API_KEY_USED = "auth.api_key.used"
    USER_CREATED = "user.created"
    USER_UPDATED = "user.updated"
    USER_DELETED = "user.deleted"
    USER_PASSWORD_CHANGED = "user.password.changed"
    USER_LEVEL_CHANGED = "user.level.changed"
    USER_PERMISSION_CHANGED = "user.permission.changed"
    API_KEY_CREATED = "api_key.created"
    API_KEY_REVOKED = "api_key.revoked"
    CREDENTIAL_CREATED = "credential.created"
    CREDENTIAL_DELETED = "credential.deleted"
    CREDENTIAL_USED = "credential.used"
    JOB_SUBMITTED = "job.submitted"
    JOB_CANCELLED = "job.cancelled"
    JOB_APPROVED = "job.approved"
    JOB_REJECTED = "job.rejected"
    QUOTA_EXCEEDED = "quota.exceeded"
    QUOTA_CHANGED = "quota.changed"
    CONFIG_CHANGED = "config.changed"
    PROVIDER_CONFIGURED = "provider.configured"
    PERMISSION_DENIED = "security.permission_denied"
    RATE_LIMITED = "security.rate_limited"
    SUSPICIOUS_ACTIVITY = "security.suspicious"


@dataclass
class AuditEntry:
    """An entry; the attributes are the columns of the table."""

    id: int
    timestamp: str
    event_type: str
    actor_id: int | None
    actor_username: str | None
    actor_ip: str | None
    target_type: str | None
    target_id: str | None
    action: str
    details: dict[str, Any] = field(default_factory=dict)
    previous_hash: str = ""
    entry_hash: str = ""


class AuditStore(PerPath):
    """The audit trail of the state directory or of `db_path`. The coroutines run in another thread.

    There is one object for each database. A path that was given counts for later calls without one, until `reset`.
    """

    _setting = "audit_database"
    _described = "audit_database"

    async def log(
        self,
        event_type: str,
        action: str,
        actor_id: int | None = None,
        actor_username: str | None = None,
        actor_ip: str | None = None,
        target_type: str | None = None,
        target_id: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> int:
        """Appends an entry and returns its id, then sends it to the webhook of `set_audit_webhook`.

        Text is cut to what the trail takes: 255 bytes, an address 64, the id of a target 765. Control characters become
        "\\ufffd", and "-" stands for a missing action, or for the missing half of a target.
        """

        def log() -> int:
            store = self._store.as_actor(actor_id, _cut(actor_username, 255), _cut(actor_ip, 64))
            target = (_cut(target_type, 255) or None, _cut(target_id, 765) or None)
            if target[0] or target[1]:
                target = (target[0] or "-", target[1] or "-")  # the trail takes both or neither
            return store.audit(_text(event_type), _cut(action, 255) or "-", *target, details)

        entry_id = await asyncio.to_thread(log)
        forward(self._store, entry_id)
        return entry_id

    async def query(
        self,
        event_types: Sequence[str] | None = None,
        actor_id: int | None = None,
        target_type: str | None = None,
        target_id: str | None = None,
        since: str | date | None = None,
        until: str | date | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[AuditEntry]:
        """Returns the matching entries, newest first. `since` and `until`, both included, are as in
        `Store.query_audit`. If one of them is neither a date nor a time, both are compared as text.
        """
        filters = {
            "event_types": [_text(kind) for kind in event_types or ()] or None,
            "actor_id": actor_id,
            "target_type": target_type or None,
            "target_id": target_id or None,
            "since": since or None,
            "until": until or None,
            "limit": limit,
            "offset": offset,
        }
        given = {name: value for name, value in filters.items() if value is not None}

        def select() -> list[dict[str, Any]]:
            try:
                return self._store.query_audit(**given)
            except InvalidArgumentError:
                as_text = {f"{name}_text" if name in ("since", "until") else name: given[name] for name in given}
                return self._store.query_audit(**as_text)

        return [AuditEntry(**entry) for entry in await asyncio.to_thread(select)]

    async def verify_chain(self, start_id: int | None = None, end_id: int | None = None) -> dict[str, Any]:
        """Verifies the chain from `start_id` to `end_id` (None: the first or last entry). Returns `valid`,
        `entries_checked`, `broken_links`, `first_id`, `last_id` and the rest of the report of `Store.verify_audit`.
        """
        if end_id is not None and end_id < 1:
            return {**_NO_ENTRIES, "broken_links": [], "forks": []}
        return await asyncio.to_thread(self._store.verify_audit, start_id or 0, end_id or 0)

    async def get_stats(self) -> dict[str, Any]:
        """Returns `total_entries`, `by_type`, `last_24h`, `first_entry` and `last_entry`."""
        return await asyncio.to_thread(self._store.audit_stats)

    @classmethod
    def reset(cls) -> None:
        """Makes the next call create a new object, and the store of the process read the environment again."""
        cls.reset_instance()


def _text(event_type: str) -> str:
    return str(event_type.value) if isinstance(event_type, Enum) else event_type


def _cut(text: str | None, size: int) -> str | None:
    if text is None:
        return None
    return _CONTROL.sub("\ufffd", text).encode(errors="replace")[:size].decode(errors="ignore")


def get_audit_store() -> AuditStore:
    """Returns the audit trail of the process: `AuditStore()`."""
    store: AuditStore = AuditStore()
    return store


async def audit_log(event_type: str, action: str, **kwargs: Any) -> int:
    """Appends an entry to the audit trail of the process and returns its id."""
    return await get_audit_store().log(event_type, action, **kwargs)
