"""Typical uses of the package, for `mypy --strict` to check its types. Not run."""

import asyncio
import logging
import sys
from datetime import timedelta

from st_secrets import (
    RedactingFilter,
    RedactingStream,
    Redactor,
    Secret,
    SecretsManager,
    Store,
    TTLCache,
    cached,
    decrypt_credential,
    get_secrets_manager,
    redacted_output,
    simpletuner,
)
from st_secrets.audit import AuditEventType, audit_log, set_audit_webhook
from st_secrets.auth.stores import CredentialStore
from st_secrets.cache import cached as simpletuner_cached
from st_secrets.cache import get_provider_config_cache
from st_secrets.credential_resolver import get_credential_resolver
from st_secrets.replicate_client import get_hardware_info_async
from st_secrets.storage import ProviderConfigStore


@cached(ttl=120, key_prefix="mymodule")
def get_user(user_id: int) -> dict[str, int]:
    return {"id": user_id}


@cached(ttl=60)
async def fetch(path: str) -> list[str]:
    return [path]


class Users:
    @cached(key=lambda self, user_id: (user_id,))
    def get(self, user_id: int) -> str:
        return str(user_id)

    @simpletuner_cached(ttl=5)
    def find(self, name: str) -> int | None:
        return None


def methods() -> None:
    users = Users()
    user: str = users.get(1)
    found: int | None = users.find("a")
    also: str = Users.get(users, 1)
    count: int = Users.get._cache.clear()
    print(user, found, also, count)
    users.get("1")  # type: ignore[arg-type]
    users.get(1, 2)  # type: ignore[call-arg]


def strings() -> None:
    secrets: SecretsManager = get_secrets_manager()
    absent: str | None = secrets.get("HF_TOKEN")
    present: str = secrets.get("HF_TOKEN", default="fallback")
    with secrets.find("HF_TOKEN", timeout=1.0) as secret:
        found: Secret = secret
        value: str = found.reveal()
        shared: bool = found.shared
    required: str = secrets.require("HF_TOKEN")
    secrets.prefetch(timeout=1.0)
    owner: int | None = secrets.share()["owner"]
    saved: bool = secrets.set_secret("A", "b", strict=True)
    with SecretsManager.open(config={"timeout": timedelta(seconds=5)}) as own:
        manager: SecretsManager = own
    print(absent, present, value, shared, owner, required, saved, manager, decrypt_credential("x"))


def caches() -> None:
    cache = TTLCache[str](default_ttl=300.0, soft_ttl=200.0, ttl_jitter=0.1, absent_ttl=5.0)
    cache.set("a", "b", ttl=60.0)
    text: str | None = cache.get("a")
    loaded: str = cache.get_or_set("a", lambda: "b")
    config: dict[str, object] | None = get_provider_config_cache().get("provider:replicate:config")
    user: dict[str, int] = get_user(123)
    count: int = get_user._cache.clear()
    size: int = cache.stats()["size"]
    print(text, loaded, config, user, count, size)
    cache.set("a", 1)  # type: ignore[arg-type]
    get_user("123")  # type: ignore[arg-type]


def redaction() -> None:
    redactor = Redactor({"redact_with": "<{name}>"})
    added: bool = redactor.add("value", "NAME")
    text: str = redactor.redact("text")
    logging.getLogger().addFilter(RedactingFilter(redactor))
    with redacted_output():
        print(added, text, file=RedactingStream(sys.stderr))


async def coroutines() -> None:
    async def compute() -> str:
        return "b"

    value: str = await TTLCache[str]().get_or_set_async("a", compute)
    lines: list[str] = await fetch("/data")
    store = ProviderConfigStore()
    config = await store.get("replicate")
    hardware = await get_hardware_info_async(store)
    print(value, lines, config, hardware, Store().as_actor(1).provider_config("x"))
    secrets = get_secrets_manager()
    absent: str | None = await secrets.get_async("HF_TOKEN")
    present: str = await secrets.get_async("HF_TOKEN", "fallback")
    secret: Secret = await secrets.find_async("HF_TOKEN", timeout=timedelta(seconds=1))
    await secrets.prefetch_async(timedelta(seconds=1))
    entry: int = await audit_log(AuditEventType.USER_CREATED, "created", actor_id=1)
    set_audit_webhook({"url": "https://siem", "security_only": True})
    set_audit_webhook({"token": "x"})  # type: ignore[arg-type]
    credential: str | None = await CredentialStore().get(1, "replicate", "api_token")
    shared: str | None = await get_credential_resolver().get_replicate_token(None)
    with Store({"state_dir": "/x"}) as own:
        own.backup("/backup.db", database="audit")
    print(absent, present, secret, entry, credential, shared, simpletuner.replaced())


asyncio.run(coroutines())
