"""The audit trail. The names are those of SimpleTuner's `cloud.audit`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from .store import Store, get_store

__all__ = ["AuditEntry", "AuditEventType", "AuditStore", "audit_log", "get_audit_store"]


class AuditEventType(str, Enum):
    """The event types that this library records. Programs may pass any text or their own enumeration."""

    PROVIDER_CONFIGURED = "provider.configured"
    CONFIG_CHANGED = "config.changed"
    CREDENTIAL_CREATED = "credential.created"
    CREDENTIAL_DELETED = "credential.deleted"
    CREDENTIAL_USED = "credential.used"


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


class AuditStore:
    """The audit trail of the state directory or of `db_path`. The coroutines run in another thread."""

    def __init__(self, db_path: str | Path | None = None) -> None:
        self._store = get_store() if db_path is None else Store({"audit_database": db_path})

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
        """Appends an entry and returns its id."""

        def log() -> int:
            store = self._store.as_actor(actor_id, actor_username, actor_ip)
            return store.audit(_text(event_type), action, target_type, target_id, details)

        return await asyncio.to_thread(log)

    async def query(
        self,
        event_types: Sequence[str] | None = None,
        actor_id: int | None = None,
        target_type: str | None = None,
        target_id: str | None = None,
        since: str | None = None,
        until: str | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[AuditEntry]:
        """Returns the matching entries, newest first."""
        filters = {
            "actor_id": actor_id,
            "target_type": target_type,
            "target_id": target_id,
            "since": since,
            "until": until,
        }

        def query() -> list[AuditEntry]:
            if not event_types:
                found = self._store.query_audit(limit=limit, offset=offset, **filters)
                return [AuditEntry(**entry) for entry in found]
            # Queries each type up to the limit, then takes the newest entries of all.
            every = [
                entry
                for kind in dict.fromkeys(map(_text, event_types))
                for entry in self._store.query_audit(event_type=kind, limit=limit + offset, **filters)
            ]
            every.sort(key=lambda entry: -int(entry["id"]))
            return [AuditEntry(**entry) for entry in every[offset : offset + limit]]

        return await asyncio.to_thread(query)

    async def verify_chain(self, start_id: int | None = None, end_id: int | None = None) -> dict[str, Any]:
        """Verifies the chain. Returns `valid`, `entries_checked` and the report of `Store.verify_audit`."""
        report = await asyncio.to_thread(self._store.verify_audit, start_id or 0, end_id or 0)
        return {"valid": report["intact"], "entries_checked": report["checked"], **report}


def _text(event_type: str) -> str:
    return str(event_type.value) if isinstance(event_type, Enum) else event_type


_store: AuditStore | None = None


def get_audit_store() -> AuditStore:
    """Returns the audit trail of the process."""
    global _store
    if _store is None:
        _store = AuditStore()
    return _store


async def audit_log(event_type: str, action: str, **kwargs: Any) -> int:
    """Appends an entry to the audit trail of the process and returns its id."""
    return await get_audit_store().log(event_type, action, **kwargs)
