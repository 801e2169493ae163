"""A bounded file of what can be had again: the longest unused goes first, and a damaged file is made anew.

One connection, used in worker threads, one at a time. Changes are not waited for by the disk: after a crash
of the system the newest may be missing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import orjson

from localsrv.base.errors import LocalsrvError, StorageError, Unavailable
from localsrv.store.driver import Connection, connect, sqlite3, translate
from localsrv.store.migrations import migrate

_T = TypeVar("_T")

_ROW_BYTES = 200
"""What a row costs beside its texts, roughly."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """`expires_at` in seconds since 1970; None: never."""

    body: bytes
    meta: dict[str, Any] = field(default_factory=dict)
    expires_at: float | None = None
    variant: str = ""


class CacheFile:
    """Methods raise StorageError when the disk refuses. `most_bytes` bounds all entries together."""

    def __init__(self, path: Path, most_bytes: int, connection: Connection) -> None:
        self._path = path
        self.most_bytes = most_bytes
        self._connection = connection
        self._in_use = threading.Lock()
        self._is_closed = False
        self._size, self._used = connection.execute(
            "SELECT coalesce(sum(size), 0), coalesce(max(used), 0) FROM entries"
        ).fetchone()

    @classmethod
    async def open(cls, path: Path, most_bytes: int) -> CacheFile:
        """Opens or makes the file. Raises StorageError when none can be made."""

        def work() -> CacheFile:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                return cls(path, most_bytes, _opened(path))
            except (StorageError, sqlite3.Error) as error:
                _log.warning("cache made anew", extra={"fields": {"file": path.name, "why": str(error)}})
                for old in (path, *path.parent.glob(f"{path.name}-*")):
                    old.unlink(missing_ok=True)
                return cls(path, most_bytes, _opened(path))

        try:
            return await asyncio.to_thread(work)
        except (sqlite3.Error, OSError) as error:
            raise (
                translate(error, path)
                if isinstance(error, sqlite3.Error)
                else StorageError(f"The cache cannot be made: {error.strerror}.", details=path.name)
            ) from error

    async def close(self) -> None:
        def work() -> None:
            with self._in_use:
                self._is_closed = True
                self._connection.close()

        await asyncio.to_thread(work)

    @property
    def size(self) -> int:
        """Bytes of all entries."""
        return int(self._size)

    # ── entries ────────────────────────────────────────────────────────────────────────────────────────────

    async def get(self, space: str, key: str, now: float) -> list[Entry]:
        """The live entries of a key; they count as used."""
        return await self._run(lambda c: self._get(c, space, key, now))

    async def put(self, space: str, key: str, entry: Entry, now: float) -> bool:
        """Stores an entry in place of the one of its key and variant; False when it is too large."""
        return await self._run(lambda c: self._put(c, space, key, entry, now))

    async def change(
        self, space: str, key: str, now: float, change: Callable[[Entry | None], Entry | None]
    ) -> Entry | None:
        """Replaces the one entry of a key by what `change` makes of it, nothing in between; None keeps it.

        Returns what is there now. `change` runs in a thread; what it raises is raised here.
        """

        def work(c: Connection) -> Entry | None:
            found = self._get(c, space, key, now)
            before = found[0] if found else None
            after = change(before)
            if after is not None:
                self._put(c, space, key, after, now)
            return after or before

        return await self._run(work)

    async def delete(self, space: str, key: str, variants: list[str] | None = None) -> int:
        """Removes a key's entries, or some of them; how many there were."""

        def work(c: Connection) -> int:
            before = c.total_changes
            for variant in [None] if variants is None else variants:
                condition, more = ("", ()) if variant is None else (" AND variant = ?", (variant,))
                self._drop(c, f"space = ? AND key = ?{condition}", (space, key, *more))
            return c.total_changes - before

        return await self._run(work)

    async def clear(self, space: str | None = None) -> int:
        """Removes everything of a space, or everything; how many entries there were."""

        def work(c: Connection) -> int:
            before = c.total_changes
            self._drop(c, "1" if space is None else "space = ?", () if space is None else (space,))
            c.execute("PRAGMA incremental_vacuum")
            return c.total_changes - before

        return await self._run(work)

    async def count(self, space: str) -> tuple[int, int]:
        """How many entries a space has, and their bytes."""
        return await self._run(
            lambda c: tuple(
                c.execute(
                    "SELECT count(*), coalesce(sum(size), 0) FROM entries WHERE space = ?", (space,)
                ).fetchone()
            )
        )

    # ── inside: in a thread ────────────────────────────────────────────────────────────────────────────────

    async def _run(self, work: Callable[[Connection], _T]) -> _T:
        def guarded() -> _T:
            with self._in_use:
                if self._is_closed:
                    raise Unavailable("The server is stopping.", code="closing")
                try:
                    self._connection.execute("BEGIN IMMEDIATE")
                    result = work(self._connection)
                    self._connection.execute("COMMIT")
                    return result
                except BaseException as error:
                    with contextlib.suppress(sqlite3.Error):
                        if self._connection.in_transaction:
                            self._connection.execute("ROLLBACK")
                        self._size = self._connection.execute(
                            "SELECT coalesce(sum(size), 0) FROM entries"
                        ).fetchone()[0]
                    if isinstance(error, sqlite3.Error):
                        raise translate(error, self._path) from error
                    raise

        return await asyncio.to_thread(guarded)

    def _get(self, c: Connection, space: str, key: str, now: float) -> list[Entry]:
        rows = c.execute(
            "SELECT body, meta, expires_at, variant FROM entries WHERE space = ? AND key = ?"
            " AND (expires_at IS NULL OR expires_at > ?) ORDER BY number",
            (space, key, now),
        ).fetchall()
        if rows:
            self._used += 1
            c.execute("UPDATE entries SET used = ? WHERE space = ? AND key = ?", (self._used, space, key))
        return [Entry(bytes(body), orjson.loads(meta), ends, variant) for body, meta, ends, variant in rows]

    def _put(self, c: Connection, space: str, key: str, entry: Entry, now: float) -> bool:
        meta = orjson.dumps(entry.meta).decode()
        size = len(entry.body) + len(meta) + len(key) + _ROW_BYTES
        if size > self.most_bytes:
            return False
        self._drop(c, "space = ? AND key = ? AND variant = ?", (space, key, entry.variant))
        self._make_room(c, size, now)
        self._used += 1
        c.execute(
            "INSERT INTO entries (space, key, variant, meta, body, size, expires_at, used)"
            " VALUES (?,?,?,?,?,?,?,?)",
            (space, key, entry.variant, meta, entry.body, size, entry.expires_at, self._used),
        )
        self._size += size
        return True

    def _make_room(self, c: Connection, size: int, now: float) -> None:
        if self._size + size <= self.most_bytes:
            return
        self._drop(c, "expires_at <= ?", (now,))
        while self._size + size > self.most_bytes:
            oldest = c.execute("SELECT number FROM entries ORDER BY used LIMIT 1").fetchone()
            self._drop(c, "number = ?", oldest)

    def _drop(self, c: Connection, condition: str, values: tuple[Any, ...]) -> None:
        gone = c.execute(f"DELETE FROM entries WHERE {condition} RETURNING size", values).fetchall()
        self._size -= sum(size for (size,) in gone)


def _opened(path: Path) -> Connection:
    connection = connect(path)
    try:
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(f"PRAGMA journal_size_limit={4 << 20}")
        migrate(connection, path, "cache")
        connection.execute("SELECT count(*) FROM entries").fetchone()
    except (LocalsrvError, sqlite3.Error):
        connection.close()
        raise
    return connection
