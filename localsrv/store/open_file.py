"""An app's file while it is open: its threads, its collections, and how far it has come.

Everything that writes is an operation of the `Writer`; everything that may scan is read by the `Readers` with
a deadline; single documents are read at once on the event loop, which in WAL mode never waits for a writer.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from localsrv.store import compaction, deadline, functions
from localsrv.store.blobs import Blobs
from localsrv.store.catalog import REVS_LIMIT, CollectionState, last_seq, load
from localsrv.store.definitions import known
from localsrv.store.driver import Connection, translate
from localsrv.store.engine import Transaction, Writer
from localsrv.store.followers import Followers
from localsrv.store.glance import Glances
from localsrv.store.journal import Journal
from localsrv.store.migrations import migrate, snapshot
from localsrv.store.query_values import SqlValue
from localsrv.store.readers import Reader, Readers
from localsrv.store.review import Review, write_reviewed
from localsrv.store.upkeep import Upkeep

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """Limits of a file. Times in seconds; `revs_limit` is CouchDB's `_revs_limit`."""

    query_timeout_s: float = 10.0
    query_row_limit: int = 100_000
    retention_s: float = 30 * 86_400.0
    revs_limit: int = REVS_LIMIT


class OpenFile:
    """Made by `OpenFile.open`; its methods belong to the event loop unless they say otherwise.

    `states` are the collections by name, replaced as a whole when one is made, changed or dropped.
    `has_design` says that any has, or ever had, a design document. `committed` is the newest sequence number
    that is durable.
    """

    journal: Journal
    upkeep: Upkeep
    point: Reader

    def __init__(self, path: Path, blobs: Path, options: StoreOptions) -> None:
        self.path = path
        self.options = options
        self.epoch = ""
        self.states: Mapping[str, CollectionState] = {}
        self.has_design = False
        self.committed = 0
        self.blobs = Blobs(blobs)
        self.followers = Followers()
        self.writer = Writer(path, self._set_up, self._on_commit)
        self.readers = Readers(path, functions.register)
        self._glances: Glances
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def open(cls, path: Path, blobs: Path, options: StoreOptions) -> OpenFile:
        """Opens, creates or migrates a file. Raises StorageError; nothing is changed then."""
        self = cls(path, blobs, options)
        await self.writer.start()
        try:
            self.point = await asyncio.to_thread(Reader, path, functions.register)
            self._glances = Glances(self.point)
        except BaseException:
            await self.writer.close()
            raise
        return self

    async def close(self) -> None:
        """Ends upkeep and followers, finishes waiting writes, writes the WAL back and closes."""
        await self.upkeep.close()
        self.followers.close()
        await self.readers.close()
        self.point.connection.close()
        await self.writer.close()

    def collection(self, name: str) -> CollectionState:
        """Raises NotFound (`code="no-collection"`)."""
        return self.states.get(name) or known(self.states, name)

    # ---- reading and writing

    async def write(
        self,
        name: str,
        function: Callable[[Transaction, CollectionState], T],
        review: Review | None = None,
    ) -> T:
        """Runs an operation on one collection. Raises NotFound at once when there is none."""
        self.collection(name)
        return await self.submit(lambda tx: function(tx, known(self.states, name)), review)

    async def submit(self, operation: Callable[[Transaction], T], review: Review | None = None) -> T:
        """Runs an operation that looks its collection up itself; `review` may refuse what it would write."""
        if review is None:
            return await self.writer.submit(operation)
        return await write_reviewed(self.writer, operation, review)

    async def read(self, function: Callable[[Connection], T]) -> T:
        """Runs a function in a reader thread, in one read transaction, with the deadline of queries."""
        return await self.readers.run(function, self.options.query_timeout_s)

    def read_now(self, function: Callable[[Connection], T]) -> T:
        """Reads single documents on the event loop."""
        return self.point.run(function, self.options.query_timeout_s)

    def row_now(self, sql: str, parameter: str) -> tuple[Any, ...] | None:
        """The one row of a statement, on the event loop and without a transaction."""
        try:
            found: tuple[Any, ...] | None = self.point.connection.execute(sql, (parameter,)).fetchone()
        except Exception as error:
            raise translate(error, self.path) from error
        return found

    def glance(self, sql: str, params: Sequence[SqlValue]) -> list[tuple[Any, ...]] | None:
        """The rows of a query that is a mere look into an index; None when a reader must see to it."""
        return self._glances.rows(sql, params)

    # ---- sizes and copies

    def size_bytes(self) -> int:
        """The file with its WAL."""
        both = self.path, self.path.with_name(self.path.name + "-wal")
        return sum(file.stat().st_size for file in both if file.exists())

    async def snapshot(self, target: Path) -> None:
        """Writes a complete copy of the file as of now. Large attachments are not part of it."""
        await asyncio.to_thread(self._snapshot, target)

    def _snapshot(self, target: Path) -> None:
        reader = Reader(self.path, functions.register)
        try:
            snapshot(reader.connection, target)
        except Exception as error:
            raise translate(error, self.path) from error
        finally:
            reader.connection.close()

    # ---- on the writer thread

    def use(self, states: Mapping[str, CollectionState]) -> None:
        """Takes over collections that a committed operation made or changed."""
        self.limit_revisions(states.values())
        self.states = states
        self._loop.call_soon_threadsafe(self._glances.forget)
        self._loop.call_soon_threadsafe(self._wake)

    def limit_revisions(self, states: Iterable[CollectionState]) -> None:
        """Puts the revision limits in force that the collections set, or the options."""
        for state in states:
            limit = state.settings.get("revs_limit", self.options.revs_limit)
            for part in state.parts:
                part.revs_limit = limit

    def _set_up(self, connection: Connection) -> None:
        """Prepares the writer's connection and reads what the file holds."""
        migrate(connection, self.path, "app")
        functions.register(connection)
        deadline.watch(connection)
        connection.execute("INSERT OR IGNORE INTO localsrv_meta VALUES ('seq_floor', '0')")
        connection.execute("INSERT OR IGNORE INTO localsrv_meta VALUES ('epoch', ?)", (secrets.token_hex(4),))
        compaction.note_first_use(connection)
        self.epoch = connection.execute("SELECT value FROM localsrv_meta WHERE key = 'epoch'").fetchone()[0]
        self.states = load(connection)
        self.has_design = any(state.design is not None for state in self.states.values())
        self.limit_revisions(self.states.values())
        self.committed = last_seq(connection, self.states)
        self.journal = Journal(self.committed)
        self.upkeep = Upkeep(self, is_overdue=compaction.is_due(connection))

    def _on_commit(self, newest: int) -> None:
        """After each group of writes. Numbers of refused ones are never told."""
        if newest <= self.committed:
            return
        self.committed = newest
        if self.followers.are_waiting or self.upkeep.is_due:
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        """On the event loop, after a commit that somebody waits for."""
        self.followers.wake()
        if self.upkeep.is_due:
            self.upkeep.begin()
