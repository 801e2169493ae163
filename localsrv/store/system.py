"""The server's own file, `system.db`: the registry of apps, and what the modules beside this one keep in it.

Low volume, so one connection behind a lock, used in worker threads and never on the event loop. It keeps
SQLite's rollback journal: one file, each change durable when its method returns.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from localsrv.base.errors import Unavailable
from localsrv.store.driver import Connection, connect, sqlite3, translate
from localsrv.store.migrations import migrate

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class AppRow:
    """An installed app as the registry knows it. Times are seconds since 1970."""

    id: str
    title: str | None
    version: str | None
    created_at: int
    updated_at: int


class System:
    """Every method raises StorageError when the disk or the file refuses."""

    def __init__(self, connection: Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._lock = asyncio.Lock()
        # The thread's own: who waits for it may be cancelled while it is still at work.
        self._in_use = threading.Lock()
        self._is_closed = False

    @classmethod
    async def open(cls, path: Path) -> System:
        """Opens or creates the file and brings its tables up to date."""

        def work() -> Connection:
            connection = connect(path)
            try:
                connection.execute("PRAGMA synchronous=FULL")
                if sys.platform == "darwin":
                    connection.execute("PRAGMA fullfsync=ON")
                migrate(connection, path, "system")
                connection.execute("PRAGMA foreign_keys=ON")  # a grant's tokens go with it
            except BaseException as error:
                connection.close()
                if isinstance(error, sqlite3.Error):
                    raise translate(error, path) from error
                raise
            return connection

        return cls(await asyncio.to_thread(work), path)

    async def close(self) -> None:
        def work(connection: Connection) -> None:
            self._is_closed = True
            connection.close()

        await self.run(work)

    async def run(self, work: Callable[[Connection], _T]) -> _T:
        """Runs a function of the connection in a thread, one at a time. For the modules of this package.

        Raises:
            Unavailable: (`code="closing"`) the file was closed.
        """

        def guarded() -> _T:
            with self._in_use:
                if self._is_closed:
                    raise Unavailable("The server is stopping.", code="closing")
                try:
                    return work(self._connection)
                except sqlite3.Error as error:
                    raise translate(error, self._path) from error

        async with self._lock:
            return await asyncio.to_thread(guarded)

    async def transaction(self, work: Callable[[Connection], _T]) -> _T:
        """As `run`, all of it or nothing. Raises as `run`."""

        def whole(c: Connection) -> _T:
            c.execute("BEGIN IMMEDIATE")
            try:
                done = work(c)
                c.execute("COMMIT")
                return done
            except BaseException:
                if c.in_transaction:
                    c.execute("ROLLBACK")
                raise

        return await self.run(whole)

    # ── apps ───────────────────────────────────────────────────────────────────────────────────────────────

    async def apps(self) -> list[AppRow]:
        def work(c: Connection) -> list[AppRow]:
            rows = c.execute("SELECT id, title, version, created_at, updated_at FROM apps ORDER BY id")
            return [AppRow(*row) for row in rows]

        return await self.run(work)

    async def put_app(self, app: AppRow) -> None:
        """Adds the app, or replaces what is known of it."""
        row = (app.id, app.title, app.version, app.created_at, app.updated_at)
        await self.run(lambda c: c.execute("INSERT OR REPLACE INTO apps VALUES (?,?,?,?,?)", row))

    async def delete_app(self, app: str) -> None:
        """Forgets the app, the grants that were for it alone, and how its replications fared."""

        def work(c: Connection) -> None:
            for table, column in (
                ("grants", "app"),
                ("apps", "id"),
                ("replications", "app"),
                ("replication_log", "app"),
            ):
                c.execute(f"DELETE FROM {table} WHERE {column} = ?", (app,))

        await self.transaction(work)
