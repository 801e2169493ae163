"""One app's file: the store's public face.

Everything that writes is an operation of the `Writer`; everything that may scan is read by the `Readers`
with a deadline; single documents are read at once on the event loop, which in WAL mode never waits for a
writer. Nothing here knows HTTP, scopes or tokens.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from localsrv.base.errors import LocalsrvError, NotFound, QueryTimeout
from localsrv.model.query import Count, Select
from localsrv.model.schema import Collection
from localsrv.store import changes, compaction, deadline, functions, reading, rules
from localsrv.store.blobs import Blobs
from localsrv.store.catalog import CollectionState, last_seq, load
from localsrv.store.changes import ChangeBatch
from localsrv.store.definitions import define, drop, known
from localsrv.store.documents import Documents
from localsrv.store.driver import Connection, translate
from localsrv.store.editing import Edit, Editor, ImportResult
from localsrv.store.engine import Transaction, Writer
from localsrv.store.glance import Glances
from localsrv.store.journal import Journal
from localsrv.store.migrations import migrate, snapshot
from localsrv.store.query_sql import compile_count, compile_select, finish_row
from localsrv.store.raw_sql import QueryResult, run_raw
from localsrv.store.readers import Reader, Readers
from localsrv.store.reading import AttachmentContent, Document
from localsrv.store.rows import InsertOptions, Rows, UpdateOptions, WriteResult, prepare_all
from localsrv.store.rules import Violation

T = TypeVar("T")

_INLINE_ROWS = 50
"""Rows prepared on the event loop; more are prepared in a thread."""

_COMPACT_EVERY = 20_000
"""Changes after which old bodies are looked at again."""


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """Limits of a file. Times in seconds; `revs_limit` is CouchDB's `_revs_limit`."""

    query_timeout_s: float = 10.0
    query_row_limit: int = 100_000
    retention_s: float = 30 * 86_400.0
    revs_limit: int = 1000


@dataclass(frozen=True, slots=True)
class RowPage:
    """Rows as JSON texts; `total` when a count was asked for."""

    rows: list[str]
    total: int | None


class Database:
    """An open app file. Made by `Database.open`; all methods belong to its event loop."""

    def __init__(self, path: Path, blobs: Path, options: StoreOptions) -> None:
        self.path = path
        self.epoch = ""
        self._options = options
        self._states: Mapping[str, CollectionState] = {}
        self._blobs = Blobs(blobs)
        self._loop = asyncio.get_running_loop()
        self._waiters: set[asyncio.Future[None]] = set()
        self._committed = 0
        self._compacted_at = 0
        self._compacting: asyncio.Task[None] | None = None
        self._closing = False
        self._writer = Writer(path, self._set_up, self._on_commit)
        self._readers = Readers(path, functions.register)
        self._point: Reader
        self._glances: Glances

    @classmethod
    async def open(cls, path: Path, blobs: Path, options: StoreOptions | None = None) -> Database:
        """Opens, creates or migrates a file. `blobs` is the folder for large attachments.

        Raises:
            StorageError: damaged, read-only, too new, or out of reach; nothing is changed.
        """
        self = cls(path, blobs, options or StoreOptions())
        await self._writer.start()
        try:
            self._point = await asyncio.to_thread(Reader, path, functions.register)
            self._glances = Glances(self._point)
        except BaseException:
            await self._writer.close()
            raise
        return self

    async def close(self) -> None:
        """Finishes waiting writes, writes the WAL back and closes. Live feeds end."""
        self._closing = True
        if self._compacting is not None:
            self._compacting.cancel()
            await asyncio.gather(self._compacting, return_exceptions=True)
        for waiter in self._waiters:
            waiter.cancel()
        await self._readers.close()
        self._point.connection.close()
        await self._writer.close()

    # ---- collections

    @property
    def collections(self) -> Mapping[str, CollectionState]:
        """All collections by name, as of now."""
        return self._states

    def collection(self, name: str) -> CollectionState:
        """Raises NotFound (`code="no-collection"`)."""
        return self._states.get(name) or known(self._states, name)

    async def define(self, definitions: Mapping[str, Collection]) -> list[str]:
        """Creates or migrates collections, all or none; returns what changed, in words.

        Raises:
            ConfigError: see `definitions.define`.
        """

        def operation(tx: Transaction) -> list[str]:
            states, texts = define(tx, self._states, definitions)
            for state in states.values():  # a schema that does not compile is refused before it is kept
                _ = state.shape
            tx.after_commit(lambda: self._use(states))
            return texts

        return await self._writer.submit(operation, alone=True)

    async def drop(self, name: str) -> None:
        """Removes a collection and everything in it. Raises NotFound, ConfigError when others refer to it."""

        def operation(tx: Transaction) -> None:
            state = known(self._states, name)
            drop(tx, state, self._states, self._journal.last)
            left = {n: s for n, s in self._states.items() if n != name}
            tx.after_commit(lambda: self._use(left))

        await self._writer.submit(operation, alone=True)

    def size_bytes(self) -> int:
        """The file with its WAL, and the folder of large attachments."""
        wal = self.path.with_name(self.path.name + "-wal")
        own = sum(f.stat().st_size for f in (self.path, wal) if f.exists())
        return own + sum(stat.st_size for _, stat in self._blobs.files())

    # ---- data face

    async def select(self, name: str, select: Select) -> RowPage:
        """The rows of a query, and their total when it asks for a count.

        Raises:
            NotFound: no such collection. UnknownName, InvalidValue: see `query_sql.compile_select`.
            QueryTimeout: past the deadline or (`code="row-limit"`) the row limit.
        """
        state = self.collection(name)
        limit = self._options.query_row_limit
        statement = compile_select(select, state.info, max_rows=limit + 1)
        # The live count is kept in memory, so an estimate of the whole collection costs nothing.
        total = state.documents if select.count is not None and not select.shape.where else None
        must_count = select.count is not None and (total is None or select.count is Count.EXACT)
        counting = compile_count(select, state.info) if must_count else None
        if counting is None:
            seen = self._glances.rows(statement.sql, statement.params)
            if seen is not None and len(seen) <= limit:
                return RowPage([statement.finish(row) for row in seen], total)

        def read(connection: Connection) -> RowPage:
            rows = [statement.finish(row) for row in connection.execute(statement.sql, statement.params)]
            if len(rows) > limit:
                raise QueryTimeout(
                    f"The query gives more than {limit:,} rows.",
                    code="row-limit",
                    hint="Ask for pages with limit and offset, or Range.",
                )
            if counting is None:
                return RowPage(rows, total)
            return RowPage(rows, connection.execute(counting.sql, counting.params).fetchone()[0])

        return await self._read(read)

    def get_row(self, name: str, document_id: str) -> tuple[str, str] | None:
        """`(row as JSON text in its * form, revision)` by `_id`; None when there is none. Does not block."""
        state = self.collection(name)
        found = self._read_now(state.get_sql, document_id)
        return (finish_row(state.info, document_id, found[0]), found[1]) if found else None

    async def insert(
        self, name: str, rows: Sequence[dict[str, Any]], options: InsertOptions | None = None
    ) -> WriteResult:
        """Inserts or upserts rows, all or none; durable when it returns. See `rows.Rows.insert`."""
        state = self.collection(name)
        prepared = await self._off_loop(len(rows), lambda: prepare_all(state, rows))

        def operation(tx: Transaction) -> WriteResult:
            now = known(self._states, name)
            ready = prepared if now is state else prepare_all(now, rows)
            return self._rows.insert(tx, now, ready, options or InsertOptions())

        return await self._writer.submit(operation)

    async def update(
        self, name: str, where: Select, changes: dict[str, Any], options: UpdateOptions | None = None
    ) -> WriteResult:
        """Merges fields into every row that matches. See `rows.Rows.update`."""
        return await self._write(
            name, lambda tx, state: self._rows.update(tx, state, where, changes, options or UpdateOptions())
        )

    async def delete(self, name: str, where: Select, options: UpdateOptions | None = None) -> WriteResult:
        """Deletes every row that matches. See `rows.Rows.delete`."""
        return await self._write(
            name, lambda tx, state: self._rows.delete(tx, state, where, options or UpdateOptions())
        )

    async def raw_query(
        self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = (), limit: int = 1000
    ) -> QueryResult:
        """One read-only SQL statement of the owner's. See `raw_sql.run_raw`."""
        return await self._readers.run(
            lambda connection: run_raw(connection, sql, parameters, limit), self._options.query_timeout_s
        )

    # ---- documents

    def get_document(self, name: str, document_id: str, revision: str | None = None) -> Document | None:
        """A document's winner, deleted or not, or one of its revisions; None when unknown or forgotten."""
        return self._now(lambda c: reading.document(c, self.collection(name), document_id, revision))

    async def documents(
        self, name: str, *, after: str | None = None, limit: int = 100, descending: bool = False
    ) -> list[Document]:
        """Live documents in order of their ids, beginning behind `after`."""
        state = self.collection(name)
        return await self._read(lambda c: reading.documents(c, state, after, limit, descending=descending))

    async def put(self, name: str, edit: Edit) -> str:
        """Writes one revision and returns it. See `editing.Editor.put`."""
        return await self._write(name, lambda tx, state: self._editor.put(tx, state, edit))

    async def put_many(
        self, name: str, edits: Sequence[Edit], *, new_edits: bool = True
    ) -> list[str | Exception]:
        """Writes many revisions in one operation, each for itself: its revision, or why it was refused.

        `new_edits=False` stores revisions made elsewhere under the ids they have (`Edit.path`).
        """
        return await self._write(
            name, lambda tx, state: self._editor.put_many(tx, state, edits, new_edits=new_edits)
        )

    async def import_documents(self, name: str, documents: Sequence[Mapping[str, Any]]) -> ImportResult:
        """Stores documents as they are, tolerantly. See `editing.Editor.import_documents`."""
        return await self._write(name, lambda tx, state: self._editor.import_documents(tx, state, documents))

    async def open_revisions(
        self, name: str, document_id: str, revisions: Sequence[str] | None
    ) -> list[Document]:
        """Some revisions of a document, or all its leaves (None), winner first; forgotten bodies are None."""
        state = self.collection(name)
        return await self._read(lambda c: reading.open_revisions(c, state, document_id, revisions))

    async def missing_revisions(
        self, name: str, asked: Mapping[str, Sequence[str]]
    ) -> dict[str, tuple[list[str], list[str]]]:
        """`id → (revisions not known here, leaves they may extend)`, only for ids with any missing."""
        state = self.collection(name)
        return await self._read(lambda c: reading.missing_revisions(c, state, asked))

    async def mark_synced(self, name: str, peer: str, revisions: Iterable[tuple[str, str]]) -> None:
        """Remembers that a peer has these `(id, revision)`: compaction keeps them as merge ancestors."""
        pairs = list(revisions)
        await self._write(name, lambda tx, state: self._editor.mark_synced(tx, state, peer, pairs))

    async def violations(self, name: str, limit: int = 1000) -> list[Violation]:
        """Stored documents that break a rule of their collection."""
        state = self.collection(name)
        return await self._read(lambda c: list(rules.violations(c, self._states, state, limit)))

    # ---- attachments

    async def receive(self, chunks: AsyncIterator[bytes], limit: int | None = None) -> Any:
        """Takes in a content for `put_attachment` or `Edit.attachments`; see `blobs.Blobs.receive`."""
        return await self._blobs.receive(chunks, limit=limit)

    async def put_attachment(
        self,
        name: str,
        document_id: str,
        attachment: str,
        content_type: str,
        blob: Any,
        if_match: str | None = None,
    ) -> str:
        """Adds or replaces one attachment and returns the new revision. See `editing.Editor.attach`."""
        return await self._write(
            name,
            lambda tx, state: self._editor.attach(
                tx, state, document_id, attachment, content_type, blob, if_match
            ),
        )

    async def delete_attachment(
        self, name: str, document_id: str, attachment: str, if_match: str | None = None
    ) -> str:
        """Removes one attachment and returns the new revision. Raises NotFound."""
        return await self._write(
            name, lambda tx, state: self._editor.detach(tx, state, document_id, attachment, if_match)
        )

    def attachment(
        self, name: str, document_id: str, attachment: str, revision: str | None = None
    ) -> AttachmentContent | None:
        """An attachment's facts with its bytes, or the file that holds them."""
        state = self.collection(name)
        return self._now(
            lambda c: reading.attachment(c, self._blobs, state, document_id, attachment, revision)
        )

    # ---- change feed

    @property
    def last_seq(self) -> int:
        """The newest sequence number that is durable."""
        return self._committed

    def encode_seq(self, number: int) -> str:
        """A sequence number as clients see it."""
        return changes.encode_seq(self.epoch, number)

    def decode_seq(self, token: str) -> int:
        """Raises EpochChanged, BadRequest: see `changes.decode_seq`."""
        return changes.decode_seq(self.epoch, token)

    async def changes(
        self,
        since: int = 0,
        collections: Sequence[str] | None = None,
        *,
        limit: int = changes.MAX_BATCH,
        with_rows: bool = False,
        where: Mapping[str, Select] | None = None,
    ) -> ChangeBatch:
        """Changes after `since`, at most `limit`, of some collections or all. See `changes.read_changes`."""
        names = self._states if collections is None else collections
        states = [self.collection(name) for name in names]
        until = self._committed
        return await self._read(
            lambda c: changes.read_changes(
                c, states, since, until, limit, with_rows=with_rows, where=where or {}
            )
        )

    async def wait_for_change(self, after: int) -> None:
        """Returns when a change newer than `after` is durable. Cancelled when the file closes."""
        while True:
            if self._closing:
                raise asyncio.CancelledError
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._waiters.add(waiter)  # before the look, since the writer looks for waiters after it commits
            try:
                if self._committed > after:
                    return
                await waiter
            finally:
                self._waiters.discard(waiter)

    async def updated_at(self) -> str | None:
        """When anything was last changed, UTC."""
        return await self._read(lambda c: changes.changed_at(c, self._committed))

    # ---- care

    async def compact(self) -> dict[str, int]:
        """Forgets what retention allows; returns counts of `bodies`, `revisions`, `contents` and `files`."""
        options = self._options
        before = await self._read(lambda c: compaction.oldest_kept(c, options.retention_s))
        counts = {"bodies": 0, "revisions": 0, "contents": 0, "files": 0}
        while forgotten := await self._writer.submit(lambda tx: compaction.forget_bodies(tx, before)):
            counts["bodies"] += forgotten
        numbers = {state.number: state for state in self._states.values()}
        for number, document_id in await self._read(lambda c: compaction.overgrown(c, options.revs_limit)):
            if state := numbers.get(number):
                counts["revisions"] += await self._stem(state, document_id)
        await self._writer.submit(lambda tx: compaction.forget_times(tx, before))
        counts["contents"] = await self._writer.submit(self._blobs.forget_unreferenced)
        counts["files"] = await self._read(self._blobs.sweep)
        await self._forget_sources()
        await self._writer.submit(compaction.note_done)
        return counts

    async def _forget_sources(self) -> None:
        until = self._committed  # before the collections, so that it holds all that had changes up to then
        states = list(self._states.values())
        obsolete = await self._read(lambda c: compaction.obsolete_sources(c, states, until))
        for at in range(0, len(obsolete), compaction.BATCH):
            batch = obsolete[at : at + compaction.BATCH]
            await self._writer.submit(partial(compaction.forget_sources, numbers=batch))

    async def _stem(self, state: CollectionState, document_id: str) -> int:
        limit = self._options.revs_limit
        return await self._writer.submit(lambda tx: compaction.stem(tx, state, [document_id], limit))

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

    # ---- inside

    def _set_up(self, connection: Connection) -> None:
        """Prepares the writer's connection, on its thread."""
        migrate(connection, self.path, "app")
        functions.register(connection)
        deadline.watch(connection)
        connection.execute("INSERT OR IGNORE INTO localsrv_meta VALUES ('seq_floor', '0')")
        connection.execute("INSERT OR IGNORE INTO localsrv_meta VALUES ('epoch', ?)", (secrets.token_hex(4),))
        compaction.note_first_use(connection)
        self.epoch = connection.execute("SELECT value FROM localsrv_meta WHERE key = 'epoch'").fetchone()[0]
        self._states = load(connection)
        self._committed = last_seq(connection, self._states)
        # A file that was long not looked at is compacted after its next change; no timer is needed.
        self._compacted_at = -_COMPACT_EVERY if compaction.is_due(connection) else self._committed
        self._journal = Journal(self._committed)
        self._documents = Documents(self._journal, self._options.revs_limit)
        self._rows = Rows(self._documents, lambda: self._states, self._options.query_timeout_s)
        self._editor = Editor(self._documents, self._blobs, lambda: self._states)

    def _use(self, states: Mapping[str, CollectionState]) -> None:
        self._states = states
        self._loop.call_soon_threadsafe(self._glances.forget)

    def _on_commit(self, newest: int) -> None:
        """On the writer thread, after each group of writes. Numbers of refused ones are never told."""
        if newest <= self._committed:
            return
        self._committed = newest
        if self._waiters or self._committed - self._compacted_at > _COMPACT_EVERY:
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        if self._committed - self._compacted_at > _COMPACT_EVERY and not self._closing:
            self._compacted_at = self._committed
            if self._compacting is None or self._compacting.done():
                self._compacting = self._loop.create_task(self._compact_quietly())

    async def _compact_quietly(self) -> None:
        try:
            await self.compact()
        except LocalsrvError:
            # A full or failing disk is told to whoever writes next; compaction is tried again later.
            self._compacted_at = self._committed

    async def _write(self, name: str, function: Callable[[Transaction, CollectionState], T]) -> T:
        """Runs an operation on one collection. Raises NotFound at once when there is none."""
        self.collection(name)
        return await self._writer.submit(lambda tx: function(tx, known(self._states, name)))

    async def _read(self, function: Callable[[Connection], T]) -> T:
        return await self._readers.run(function, self._options.query_timeout_s)

    def _read_now(self, sql: str, parameter: str) -> tuple[Any, ...] | None:
        try:
            found: tuple[Any, ...] | None = self._point.connection.execute(sql, (parameter,)).fetchone()
        except Exception as error:
            raise translate(error, self.path) from error
        return found

    def _now(self, function: Callable[[Connection], T]) -> T:
        """Reads single documents on the event loop."""
        return self._point.run(function, self._options.query_timeout_s)

    async def _off_loop(self, rows: int, function: Callable[[], T]) -> T:
        return function() if rows <= _INLINE_ROWS else await asyncio.to_thread(function)


__all__ = [
    "ChangeBatch",
    "Database",
    "Document",
    "Edit",
    "ImportResult",
    "InsertOptions",
    "NotFound",
    "QueryResult",
    "RowPage",
    "StoreOptions",
    "UpdateOptions",
    "WriteResult",
]
