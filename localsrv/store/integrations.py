"""The table `integrations` of the server's own file: what the owner set."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import orjson

from localsrv.store.driver import Connection
from localsrv.store.system import System


@dataclass(frozen=True, slots=True)
class IntegrationRow:
    """`settings` as `model.integrations.Integration.as_json` has them. Times are seconds since 1970."""

    app: str
    name: str
    settings: dict[str, Any]
    created_at: int
    updated_at: int


class IntegrationStore:
    """Every method raises StorageError when the disk or the file refuses."""

    def __init__(self, system: System) -> None:
        self._system = system

    async def all(self) -> list[IntegrationRow]:
        def work(c: Connection) -> list[IntegrationRow]:
            rows = c.execute(
                "SELECT app, name, settings, created_at, updated_at FROM integrations ORDER BY app, name"
            )
            return [IntegrationRow(a, n, orjson.loads(s), made, at) for a, n, s, made, at in rows]

        return await self._system.run(work)

    async def put(self, app: str, name: str, settings: dict[str, Any]) -> IntegrationRow:
        """Adds an integration or replaces its settings; durable on return."""
        now = int(time.time())

        def work(c: Connection) -> IntegrationRow:
            created = c.execute(
                "INSERT INTO integrations (app, name, settings, created_at, updated_at) VALUES (?,?,?,?,?)"
                " ON CONFLICT DO UPDATE SET settings = excluded.settings, updated_at = excluded.updated_at"
                " RETURNING created_at",
                (app, name, orjson.dumps(settings).decode(), now, now),
            ).fetchone()[0]
            return IntegrationRow(app, name, settings, created, now)

        return await self._system.run(work)

    async def delete(self, app: str, name: str | None = None) -> None:
        """Forgets an integration, or all of an app."""
        condition = "app = ?" if name is None else "app = ? AND name = ?"
        values = (app,) if name is None else (app, name)
        await self._system.run(lambda c: c.execute(f"DELETE FROM integrations WHERE {condition}", values))
