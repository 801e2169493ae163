"""The table `audit` of the server's own file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from localsrv.store.driver import Connection
from localsrv.store.system import System

KEPT = 20_000
"""Rows that are kept, the newest."""
KEPT_OF_ANYBODY = 10_000
"""Of those, rows of `OF_ANYBODY`: they must not push out what holders of grants did."""
OF_ANYBODY = ("sign-in-failed", "code-failed", "request-made", "request-muted", "request-expired")
"""Events that who has no access can cause, as often and by as many names as wanted."""

_COLUMNS = "at, until, count, event, grant_id, who, app, origin, subject, details"

_AMONG = f"event IN ({', '.join(repr(event) for event in OF_ANYBODY)})"
_OLDER = "number <= (SELECT number FROM audit WHERE {} ORDER BY number DESC LIMIT 1 OFFSET ?)"
_DROP = f"DELETE FROM audit WHERE {_OLDER.format('1')}"
_DROP_OF_ANYBODY = f"DELETE FROM audit WHERE {_AMONG} AND {_OLDER.format(_AMONG)}"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Something that happened, `count` times between `at` and `until` (seconds since 1970).

    `number` orders entries and is 0 before one is stored. The texts are names and ids, never secrets.
    """

    at: int
    until: int
    count: int
    event: str
    grant_id: str | None = None
    who: str | None = None
    app: str | None = None
    origin: str | None = None
    subject: str | None = None
    details: Mapping[str, str | int] = field(default_factory=dict)
    number: int = 0


class AuditStore:
    """Every method raises StorageError when the disk or the file refuses."""

    def __init__(self, system: System) -> None:
        self._system = system

    async def add(self, entries: Sequence[AuditEntry]) -> None:
        """Stores entries, durable on return, and drops what is too old."""
        rows = [_values(entry) for entry in entries]
        marks = ",".join("?" * 10)

        def work(c: Connection) -> None:
            c.execute("BEGIN IMMEDIATE")
            try:
                c.executemany(f"INSERT INTO audit ({_COLUMNS}) VALUES ({marks})", rows)
                if any(entry.event in OF_ANYBODY for entry in entries):
                    c.execute(_DROP_OF_ANYBODY, (KEPT_OF_ANYBODY,))
                c.execute(_DROP, (KEPT,))
                c.execute("COMMIT")
            except BaseException:
                if c.in_transaction:
                    c.execute("ROLLBACK")
                raise

        await self._system.run(work)

    async def page(
        self, *, before: int | None = None, limit: int = 100, event: str | None = None
    ) -> list[AuditEntry]:
        """Up to `limit` entries, newest first, that are older than the one numbered `before`."""
        conditions, values = ["1"], list[Any]()
        if before is not None:
            conditions.append("number < ?")
            values.append(before)
        if event is not None:
            conditions.append("event = ?")
            values.append(event)
        sql = (
            f"SELECT {_COLUMNS}, number FROM audit WHERE {' AND '.join(conditions)} "
            "ORDER BY number DESC LIMIT ?"
        )
        return await self._system.run(lambda c: [_entry(row) for row in c.execute(sql, (*values, limit))])


def _values(entry: AuditEntry) -> tuple[Any, ...]:
    return (
        entry.at,
        entry.until,
        entry.count,
        entry.event,
        entry.grant_id,
        entry.who,
        entry.app,
        entry.origin,
        entry.subject,
        orjson.dumps(dict(entry.details)).decode(),
    )


def _entry(row: tuple[Any, ...]) -> AuditEntry:
    return AuditEntry(*row[:-2], details=orjson.loads(row[-2]), number=row[-1])  # type: ignore[misc] # the columns
