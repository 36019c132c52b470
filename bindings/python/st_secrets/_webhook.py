"""Sends entries of the audit trail to a webhook after they are appended."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from .store import Store

_logger = logging.getLogger("st_secrets.audit")


class _Webhook(TypedDict):
    url: str


class Webhook(_Webhook, total=False):
    """A webhook: the arguments of `Store.send_audit`."""

    token: str | None
    security_only: bool
    timeout: float
    retries: int
    ca_file: str | None


_lock = threading.RLock()  # a signal handler may use the library while its thread holds the lock
_settings: Callable[[], Webhook | None] | None = None
_waiting: deque[tuple[Store, int]] = deque()
_sending = False


def _after_fork() -> None:
    # The parent sends what it appended.
    global _lock, _sending
    _lock, _sending = threading.RLock(), False
    _waiting.clear()


os.register_at_fork(after_in_child=_after_fork)


def set_audit_webhook(settings: Webhook | Callable[[], Webhook | None] | None) -> None:
    """Sets the webhook to which `AuditStore.log` sends its entries, or a function that returns it, which is called for
    each entry. None sends nothing.

    Entries are sent one after the other in another thread, which the process waits for at exit. If one cannot be sent,
    that is logged, and the entries that wait behind it are not sent; `Store.send_audit` sends them later.
    """
    global _settings
    try:
        if settings is None or callable(settings):
            _settings = settings
        else:
            kept: Any = _Kept(settings)
            _settings = kept
    finally:
        del settings


class _Kept:
    """Settings that contain a token; `repr` does not show them."""

    __slots__ = ("_settings",)

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = dict(settings)

    def __call__(self) -> Mapping[str, Any]:
        return self._settings


def forward(store: Store, entry_id: int) -> None:
    """Sends an entry to the webhook, if there is one, without waiting for it."""
    global _sending
    with _lock:
        if _settings is None:
            return
        _waiting.append((store, entry_id))
        if not _sending:
            _sending = True
            threading.Thread(target=_send_all, name="st_secrets-audit").start()


def _send_all() -> None:
    global _sending
    while True:
        with _lock:
            if not _waiting:
                _sending = False
                return
            store, entry_id = _waiting.popleft()
            settings = _settings
        try:
            webhook: Any = settings() if settings is not None else None
            if webhook and webhook.get("url"):
                store.send_audit(**webhook, after_id=entry_id - 1, limit=1)
        except Exception as error:
            with _lock:
                behind = len(_waiting)
                _waiting.clear()
            # The text of another program's exception may contain the token.
            reason = str(error) if type(error).__module__ == "st_secrets.errors" else type(error).__name__
            _logger.warning("the audit entry %d and %d behind it were not sent: %s", entry_id, behind, reason)
