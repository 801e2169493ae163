"""What apps reach through this server, put together: outside services and the caches."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localsrv.outbound.guarded import Outside
from localsrv.services.apps import Apps
from localsrv.services.audit import Audit
from localsrv.services.caches import Caches
from localsrv.services.integrations.calls import Calls
from localsrv.services.integrations.credentials import Credentials, SecretValues, TokenVault
from localsrv.services.integrations.kept import KeptAnswers
from localsrv.services.integrations.registry import Registry
from localsrv.store.integrations import IntegrationStore
from localsrv.store.system import System


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """In bytes: of the answers that are kept, and of the apps' own caches."""

    answers: int = 64 << 20
    values: int = 32 << 20
    is_persisted: bool = False


async def open_outside(
    stack: contextlib.AsyncExitStack,
    system: System,
    apps: Apps,
    secrets: SecretValues,
    vault: TokenVault,
    audit: Audit,
    own_ports: Callable[[], Container[int]],
    folder: Path,
    *,
    limits: CacheLimits = CacheLimits(),
    outside: Outside | None = None,
) -> dict[type, Any]:
    """The services, each by its class; `stack` closes them. `folder` is for caches, `outside` for tests."""
    outside = outside or Outside(own_ports)
    stack.push_async_callback(outside.close)
    credentials = Credentials(secrets, vault, outside, audit)
    stack.push_async_callback(credentials.close)
    kept = KeptAnswers(folder / "answers.db", limits.answers)
    stack.push_async_callback(kept.close)
    registry = await Registry.start(IntegrationStore(system), apps, credentials, kept, audit)
    calls = Calls(registry, credentials, kept, outside, audit)
    caches = Caches(folder / "values.db", limits.values, is_persisted=limits.is_persisted)
    stack.push_async_callback(caches.close)
    apps.on_delete.append(caches.forget_app)
    return {Registry: registry, Calls: calls, Caches: caches}
