"""The tables `replications` and `replication_log` of the server's own file."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import orjson

from localsrv.store.driver import Connection
from localsrv.store.system import System

KEPT = 200
"""Log entries of one replication."""

_COLUMNS = "app, document, revision, state, is_paused, errors, info, started_at, updated_at"


@dataclass(frozen=True, slots=True)
class ReplicationRow:
    """How a replication fares; see the table. Times are seconds since 1970."""

    app: str
    document: str
    revision: str | None
    state: str
    is_paused: bool = False
    errors: int = 0
    info: dict[str, Any] = field(default_factory=dict)
    started_at: int | None = None
    updated_at: int = 0


@dataclass(frozen=True, slots=True)
class LogEntry:
    """Something that happened to a replication."""

    at: int
    kind: str
    text: str


class ReplicationStore:
    """Every method raises StorageError when the disk or the file refuses."""

    def __init__(self, system: System) -> None:
        self._system = system

    async def all(self) -> list[ReplicationRow]:
        def work(c: Connection) -> list[ReplicationRow]:
            rows = c.execute(f"SELECT {_COLUMNS} FROM replications ORDER BY app, document")
            return [_row(row) for row in rows]

        return await self._system.run(work)

    async def put(self, row: ReplicationRow) -> None:
        """Adds a row or replaces the one there is."""
        values = (
            row.app,
            row.document,
            row.revision,
            row.state,
            int(row.is_paused),
            row.errors,
            orjson.dumps(row.info).decode(),
            row.started_at,
            row.updated_at or int(time.time()),
        )
        marks = ",".join("?" * len(values))
        sql = f"INSERT OR REPLACE INTO replications ({_COLUMNS}) VALUES ({marks})"
        await self._system.run(lambda c: c.execute(sql, values))

    async def forget(self, app: str, document: str | None = None) -> None:
        """Removes a replication's rows, or those of all of an app."""
        condition, values = (
            ("app = ?", (app,)) if document is None else ("app = ? AND document = ?", (app, document))
        )

        def work(c: Connection) -> None:
            c.execute(f"DELETE FROM replications WHERE {condition}", values)
            c.execute(f"DELETE FROM replication_log WHERE {condition}", values)

        await self._system.run(work)

    async def note(self, app: str, document: str, kind: str, text: str) -> None:
        """Adds to the log; what is too old goes."""

        def work(c: Connection) -> None:
            c.execute(
                "INSERT INTO replication_log (app, document, at, kind, text) VALUES (?, ?, ?, ?, ?)",
                (app, document, int(time.time()), kind, text),
            )
            c.execute(
                "DELETE FROM replication_log WHERE app = ? AND document = ? AND number <="
                " (SELECT number FROM replication_log WHERE app = ? AND document = ?"
                " ORDER BY number DESC LIMIT 1 OFFSET ?)",
                (app, document, app, document, KEPT),
            )

        await self._system.run(work)

    async def log(self, app: str, document: str, limit: int = KEPT) -> list[LogEntry]:
        """The newest entries, newest first."""

        def work(c: Connection) -> list[LogEntry]:
            rows = c.execute(
                "SELECT at, kind, text FROM replication_log WHERE app = ? AND document = ?"
                " ORDER BY number DESC LIMIT ?",
                (app, document, limit),
            )
            return [LogEntry(*row) for row in rows]

        return await self._system.run(work)


def _row(row: tuple[Any, ...]) -> ReplicationRow:
    app, document, revision, state, is_paused, errors, info, started, updated = row
    return ReplicationRow(
        app, document, revision, state, bool(is_paused), errors, orjson.loads(info), started, updated
    )
