"""View indexes: what map functions emitted, in view order, in a file beside the app's.

The file is derived data. It is written by a thread of its own, so that it never slows the writer of the app's
file down, without waiting for the disk at each commit (`synchronous=NORMAL`: after a power cut it is older,
never broken), and it is thrown away when anything is wrong with it. Who builds indexes is `services.views`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from localsrv.base.errors import StorageError
from localsrv.store.driver import Connection
from localsrv.store.engine import Transaction, Writer
from localsrv.store.migrations import migrate
from localsrv.store.view_snapshot import Snapshot

FILE_NAME = "indexes.db"

_MOST_IDLE = 4
"""Connections that wait for the next reader."""

Value = str | int | float | None
"""A row's value as the file has it; see `sql/views`."""

Row = tuple[int, bytes, str, int, str, Value]
"""`(function, key bytes, document id, n, key as JSON, value)`."""


@dataclass(frozen=True, slots=True)
class Index:
    """Where one index stands: `seq` is the last change it has seen, `totals` its rows by function."""

    number: int
    collection: int
    signature: str
    seq: int
    totals: tuple[int, ...]


_WORTHLESS = frozenset({"storage-damaged", "storage-too-new", "storage-other-epoch"})
"""Why a file is thrown away."""


class ViewFile:
    """The indexes of one app. Made by `open`; all methods belong to its event loop."""

    def __init__(self, path: Path, epoch: str) -> None:
        self.path = path
        self._epoch = epoch
        self._idle: list[Snapshot] = []
        self._closed = False
        self._writer = Writer(path, self._set_up)

    @classmethod
    async def open(cls, path: Path, epoch: str) -> ViewFile:
        """Opens or makes the file. One that is damaged, or of another epoch, is replaced by an empty one.

        Raises:
            StorageError: the folder cannot be written.
        """
        self = cls(path, epoch)
        try:
            await self._writer.start()
        except StorageError as error:
            if error.code not in _WORTHLESS:
                raise
            await asyncio.to_thread(remove, path)
            self = cls(path, epoch)
            await self._writer.start()
        return self

    async def close(self) -> None:
        self._closed = True
        await self._writer.close()
        for snapshot in self._idle:
            snapshot.close()
        self._idle.clear()

    # ---- indexes

    async def index(self, collection: int, signature: str, functions: int) -> Index:
        """The index of a collection with that signature, made if there is none yet."""

        def operation(tx: Transaction) -> Index:
            tx.execute(
                "INSERT OR IGNORE INTO indexes (collection, signature, seq, totals) VALUES (?, ?, 0, ?)",
                (collection, signature, orjson.dumps([0] * functions).decode()),
            )
            found = _index(tx.connection, collection, signature)
            assert found is not None
            _create_rows(tx, found.number)
            return found

        return await self._writer.submit(operation, alone=True)

    async def apply(self, index: Index, ids: Sequence[str], rows: Iterable[Row], seq: int) -> Index:
        """Replaces the rows of the documents `ids` by `rows`; the index has then seen all up to `seq`.

        Raises:
            StorageError: (`code="storage"`) the index was dropped meanwhile; nothing was written.
        """
        ready = list(rows)
        wanted = orjson.dumps(ids).decode()
        table = f"rows_{index.number}"

        def operation(tx: Transaction) -> Index:
            found = tx.execute("SELECT totals FROM indexes WHERE number = ?", (index.number,)).fetchone()
            if found is None:
                raise StorageError("The index was dropped.", code="index-dropped")
            totals: list[int] = orjson.loads(found[0])
            gone = tx.execute(
                f"SELECT view, count(*) FROM {table} WHERE id IN (SELECT value FROM json_each(?))"
                " GROUP BY view",
                (wanted,),
            ).fetchall()
            if gone:
                tx.execute(f"DELETE FROM {table} WHERE id IN (SELECT value FROM json_each(?))", (wanted,))
            for view, count in gone:
                totals[view] -= count
            tx.executemany(f"INSERT INTO {table} VALUES (?, ?, ?, ?, ?, ?)", ready)
            for row in ready:
                totals[row[0]] += 1
            tx.execute(
                "UPDATE indexes SET seq = ?, totals = ? WHERE number = ?",
                (seq, orjson.dumps(totals).decode(), index.number),
            )
            return Index(index.number, index.collection, index.signature, seq, tuple(totals))

        return await self._writer.submit(operation)

    async def clean_up(self, collection: int, keep: Collection[str]) -> int:
        """Drops the indexes of a collection whose signature is not among `keep`; returns how many."""

        def operation(tx: Transaction) -> int:
            rows = tx.execute("SELECT number, signature FROM indexes WHERE collection = ?", (collection,))
            return _drop(tx, [number for number, signature in rows.fetchall() if signature not in keep])

        return await self._writer.submit(operation, alone=True)

    async def forget_collections(self, known: Collection[int]) -> int:
        """Drops the indexes of collections that are no more; returns how many."""

        def operation(tx: Transaction) -> int:
            rows = tx.execute("SELECT number, collection FROM indexes")
            return _drop(tx, [number for number, collection in rows.fetchall() if collection not in known])

        return await self._writer.submit(operation, alone=True)

    # ---- reading

    async def snapshot(self, index: Index) -> Snapshot:
        """One state of an index, for as many questions as wanted. Give it back with `release`.

        Raises:
            StorageError: the index was dropped (`code="index-dropped"`), or the file is damaged.
        """
        idle = self._idle.pop() if self._idle else None
        beginning = asyncio.ensure_future(asyncio.to_thread(Snapshot.begin, idle, self.path, index.number))
        try:
            return await asyncio.shield(beginning)
        except asyncio.CancelledError:
            beginning.add_done_callback(_close)
            raise

    def release(self, snapshot: Snapshot) -> None:
        """Ends a snapshot that no thread reads any more; its connection serves another one."""
        snapshot.end()
        if self._closed or len(self._idle) >= _MOST_IDLE:
            snapshot.close()
        else:
            self._idle.append(snapshot)

    def size_bytes(self) -> int:
        """The file and its WAL."""
        return sum(f.stat().st_size for f in _files(self.path) if f.exists())

    # ---- inside

    def _set_up(self, connection: Connection) -> None:
        try:
            connection.execute("PRAGMA synchronous=NORMAL")
            migrate(connection, self.path, "views")
            connection.execute("INSERT OR IGNORE INTO facts VALUES ('epoch', ?)", (self._epoch,))
            (epoch,) = connection.execute("SELECT value FROM facts WHERE key = 'epoch'").fetchone()
            if epoch != self._epoch:  # the app's file was restored: nothing here is known to be of it
                raise StorageError("The indexes are of another epoch.", code="storage-other-epoch")
        except BaseException:
            connection.close()  # or Windows would not let the file be removed
            raise


def _close(beginning: asyncio.Future[Snapshot]) -> None:
    """Closes a snapshot that nobody waited for."""
    if beginning.exception() is None:
        beginning.result().close()


def remove(path: Path) -> None:
    """Removes a view file and what SQLite keeps beside it."""
    for file in _files(path):
        with contextlib.suppress(FileNotFoundError):
            file.unlink()


def _files(path: Path) -> tuple[Path, ...]:
    return tuple(path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm"))


def _index(connection: Connection, collection: int, signature: str) -> Index | None:
    row = connection.execute(
        "SELECT number, seq, totals FROM indexes WHERE collection = ? AND signature = ?",
        (collection, signature),
    ).fetchone()
    return None if row is None else Index(row[0], collection, signature, row[1], tuple(orjson.loads(row[2])))


def _create_rows(tx: Transaction, number: int) -> None:
    tx.execute(
        f"CREATE TABLE IF NOT EXISTS rows_{number} (view INTEGER NOT NULL, key BLOB NOT NULL,"
        " id TEXT NOT NULL, n INTEGER NOT NULL, shown TEXT NOT NULL, value,"
        " PRIMARY KEY (view, key, id, n)) WITHOUT ROWID"
    )
    tx.execute(f"CREATE INDEX IF NOT EXISTS rows_{number}_id ON rows_{number} (id)")


def _drop(tx: Transaction, numbers: Sequence[int]) -> int:
    for number in numbers:
        tx.execute(f"DROP TABLE IF EXISTS rows_{number}")
        tx.execute("DELETE FROM indexes WHERE number = ?", (number,))
    return len(numbers)
