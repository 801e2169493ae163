"""One app's file: the store's public face.

Everything that writes is an operation of the `Writer`; everything that may scan is read by the `Readers`
with a deadline; single documents are read at once on the event loop, which in WAL mode never waits for a
writer. Nothing here knows HTTP, scopes or tokens.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from localsrv.base.errors import (
    ConfigError,
    Conflict,
    InvalidValue,
    LocalsrvError,
    NotFound,
    QueryTimeout,
    Unavailable,
)
from localsrv.model.merge_base import History
from localsrv.model.query import Count, Select
from localsrv.model.schema import Collection, parse_collection
from localsrv.store import (
    changes,
    compaction,
    conflicts,
    deadline,
    document_changes,
    functions,
    listing,
    local_documents,
    mango_indexes,
    paths,
    reading,
    rules,
)
from localsrv.store.blobs import Blobs
from localsrv.store.catalog import (
    BEGIN,
    REVS_LIMIT,
    CollectionState,
    all_parts,
    is_design,
    last_seq,
    load,
    newest_change,
)
from localsrv.store.changes import ChangeBatch
from localsrv.store.conflicts import Ending
from localsrv.store.definitions import create_design, define, drop, known
from localsrv.store.document_changes import ChangesQuery, DocumentChanges
from localsrv.store.documents import Documents
from localsrv.store.driver import Connection, translate
from localsrv.store.editing import Edit, Editor, ImportResult
from localsrv.store.engine import Transaction, Writer
from localsrv.store.glance import Glances
from localsrv.store.journal import Journal
from localsrv.store.listing import AllDocs, AllDocsPage
from localsrv.store.local_documents import LocalDocument
from localsrv.store.mango import Mango
from localsrv.store.migrations import migrate, snapshot
from localsrv.store.query_sql import compile_count, compile_select, finish_row
from localsrv.store.raw_sql import QueryResult, run_raw
from localsrv.store.readers import Reader, Readers
from localsrv.store.reading import AttachmentContent, ConflictedDocument, Document, Revisions
from localsrv.store.review import Review, write_reviewed
from localsrv.store.rows import InsertOptions, Rows, UpdateOptions, WriteResult, prepare_all
from localsrv.store.rules import Violation
from localsrv.store.views import FILE_NAME, ViewFile
from localsrv.store.views import remove as remove_views

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
    revs_limit: int = REVS_LIMIT


@dataclass(frozen=True, slots=True)
class DatabaseInformation:
    """What CouchDB tells of a database; design documents count.

    Sizes in bytes: `size_file` is the app's whole file, the others are the bodies' (above 10,000 documents
    estimated from a sample).
    `number` never stands for another database of the file, not even for one of the same name later.
    """

    name: str
    number: int
    documents: int
    deleted: int
    last_seq: int
    size_file: int
    size_active: int
    size_external: int


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
        self._has_design = False
        self._blobs = Blobs(blobs)
        self._loop = asyncio.get_running_loop()
        self._waiters: set[asyncio.Future[None]] = set()
        self._committed = 0
        self._compacted_at = 0
        self._compacting: asyncio.Task[None] | None = None
        self._closing = False
        self._views: ViewFile | None = None
        self._opening_views = asyncio.Lock()
        self._writer = Writer(path, self._set_up, self._on_commit)
        self._readers = Readers(path, functions.register)
        self._point: Reader
        self._glances: Glances
        self.mango = Mango(self)

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
        async with self._opening_views:
            if self._views is not None:
                await self._views.close()
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
        if self._views is not None:
            with contextlib.suppress(LocalsrvError):  # else its indexes go when their file is next opened
                await self._views.forget_collections({state.number for state in self._states.values()})

    async def create_database(self, name: str) -> None:
        """Makes a collection without any definition, under a name as CouchDB allows it.

        Raises:
            Conflict: (`code="collection-exists"`). InvalidValue: (`code="invalid-database-name"`).
        """
        try:
            definition = parse_collection(name, {}, couch_name=True)
        except ConfigError as error:
            raise InvalidValue(
                f"`{name[:80]}` cannot be the name of a database.",
                code="invalid-database-name",
                details=name[:80],
                hint="Begin with a letter; only a-z, 0-9 and _ $ ( ) + - / are allowed.",
            ) from error

        def operation(tx: Transaction) -> None:
            if any(state.casefold() == name.casefold() for state in self._states):
                raise Conflict(f"`{name}` exists already.", code="collection-exists", details=name)
            states, _ = define(tx, self._states, {name: definition})
            begin = self._journal.last
            tx.execute("INSERT INTO localsrv_settings VALUES (?, ?, ?)", (states[name].number, BEGIN, begin))
            states[name].settings = {BEGIN: begin}
            tx.after_commit(lambda: self._use(states))

        await self._writer.submit(operation, alone=True)

    async def information(self, name: str) -> DatabaseInformation:
        """Counts and sizes of one collection with its design documents."""
        state = self.collection(name)
        newest, active = await self._read(lambda c: listing.measures(c, state))
        return DatabaseInformation(
            name,
            state.number,
            sum(part.documents for part in state.parts),
            sum(part.tombstones for part in state.parts),
            min(newest, self._committed),  # as in `document_changes`
            sum(f.stat().st_size for f in self._files() if f.exists()),
            active,
            active,
        )

    def setting(self, name: str, key: str, default: Any = None) -> Any:
        """A database's own setting, such as `security`."""
        return self.collection(name).settings.get(key, default)

    async def set_setting(self, name: str, key: str, value: Any) -> None:
        """Keeps a setting as JSON. `revs_limit` (int > 0) is in force at once."""

        def operation(tx: Transaction, state: CollectionState) -> None:
            tx.execute(
                "INSERT OR REPLACE INTO localsrv_settings VALUES (?, ?, ?)",
                (state.number, key, json.dumps(value)),
            )

            def use() -> None:
                state.settings = {**state.settings, key: value}
                self._limit_revisions([state])

            tx.after_commit(use)

        await self._write(name, operation)

    async def read(self, function: Callable[[Connection], T]) -> T:
        """Runs a function of a read-only connection in one read transaction, with the deadline of queries."""
        return await self._read(function)

    async def write(self, name: str, function: Callable[[Transaction, CollectionState], T]) -> T:
        """Runs an operation of the writer; it must be safe to run again (`store.engine`)."""
        return await self._write(name, function)

    def size_bytes(self) -> int:
        """The file with its WAL, and the folder of large attachments."""
        own = sum(f.stat().st_size for f in self._files() if f.exists())
        return own + sum(stat.st_size for _, stat in self._blobs.files())

    def _files(self) -> tuple[Path, Path]:
        return self.path, self.path.with_name(self.path.name + "-wal")

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
        self,
        name: str,
        rows: Sequence[dict[str, Any]],
        options: InsertOptions | None = None,
        review: Review | None = None,
    ) -> WriteResult:
        """Inserts or upserts rows, all or none; durable when it returns. See `rows.Rows.insert`.

        `review`, here and below, sees what would be written and may refuse it (`store.review`).
        """
        state = self.collection(name)
        prepared = await self._off_loop(len(rows), lambda: prepare_all(state, rows))

        def operation(tx: Transaction) -> WriteResult:
            nonlocal state, prepared
            now = known(self._states, name)
            if now is not state:
                state, prepared = now, prepare_all(now, rows)
            return self._rows.insert(tx, now, prepared, options or InsertOptions())

        if review is None:
            return await self._writer.submit(operation)
        return await write_reviewed(self._writer, operation, review)

    async def update(
        self,
        name: str,
        where: Select,
        changes: dict[str, Any],
        options: UpdateOptions | None = None,
        review: Review | None = None,
    ) -> WriteResult:
        """Merges fields into every row that matches. See `rows.Rows.update`."""
        return await self._write(
            name,
            lambda tx, state: self._rows.update(tx, state, where, changes, options or UpdateOptions()),
            review,
        )

    async def delete(
        self,
        name: str,
        where: Select,
        options: UpdateOptions | None = None,
        review: Review | None = None,
    ) -> WriteResult:
        """Deletes every row that matches. See `rows.Rows.delete`."""
        return await self._write(
            name, lambda tx, state: self._rows.delete(tx, state, where, options or UpdateOptions()), review
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
        home = self.collection(name).home(document_id)
        if home is None:
            return None
        if not home.has_attachments:  # one statement tells it, and needs no transaction
            row = self._read_now(home.get_sql, document_id)
            if row is not None and revision in (None, row[1]):
                return Document(document_id, row[1], False, row[0])
        return self._now(lambda c: reading.document(c, home, document_id, revision))

    def revisions(self, name: str, document_id: str) -> Revisions | None:
        """A document's revision tree, and which bodies are stored; None when it never existed."""
        home = self.collection(name).home(document_id)
        return None if home is None else self._now(lambda c: reading.revisions(c, home, document_id))

    async def get_documents(self, name: str, ids: Sequence[str]) -> list[Document | None]:
        """The winners of some documents, deleted ones too; None for unknown ones."""
        state = self.collection(name)
        return await self._read(lambda c: listing.get_documents(c, state, ids))

    async def all_docs(self, name: str, query: AllDocs) -> AllDocsPage:
        """Live documents in order of their ids, design documents among them."""
        state = self.collection(name)
        return await self._read(lambda c: listing.all_docs(c, state, query))

    async def documents(
        self, name: str, *, after: str | None = None, limit: int = 100, descending: bool = False
    ) -> list[Document]:
        """Live documents in order of their ids, beginning behind `after`."""
        state = self.collection(name)
        return await self._read(lambda c: reading.documents(c, state, after, limit, descending=descending))

    async def put(self, name: str, edit: Edit) -> str:
        """Writes one revision and returns it. See `editing.Editor.put`."""
        await self._make_home(name, [edit])

        def operation(tx: Transaction, state: CollectionState) -> str:
            revision = self._editor.put(tx, state, edit)
            if is_design(edit.id):
                mango_indexes.drop_unused(tx, state)
            return revision

        return await self._write(name, operation)

    async def put_many(
        self, name: str, edits: Sequence[Edit], *, new_edits: bool = True
    ) -> list[str | Exception]:
        """Writes many revisions in one operation, each for itself: its revision, or why it was refused.

        `new_edits=False` stores revisions made elsewhere under the ids they have (`Edit.path`).
        """
        await self._make_home(name, edits)

        def operation(tx: Transaction, state: CollectionState) -> list[str | Exception]:
            results = self._editor.put_many(tx, state, edits, new_edits=new_edits)
            if state.design is not None and any(is_design(e.id) for e in edits):
                mango_indexes.drop_unused(tx, state)
            return results

        return await self._write(name, operation)

    async def import_documents(
        self, name: str, documents: Sequence[Mapping[str, Any]], review: Review | None = None
    ) -> ImportResult:
        """Stores documents as they are, tolerantly. See `editing.Editor.import_documents`."""
        return await self._write(
            name, lambda tx, state: self._editor.import_documents(tx, state, documents), review
        )

    async def _make_home(self, name: str, edits: Sequence[Edit]) -> None:
        """Makes the hidden collection of design documents before the first of them is written."""
        if self.collection(name).design is not None or not any(is_design(e.id) for e in edits):
            return

        def operation(tx: Transaction) -> None:
            state = known(self._states, name)
            if state.design is None:
                design = create_design(tx, state)
                design.revs_limit = state.revs_limit

                def use() -> None:
                    state.design, self._has_design = design, True

                tx.after_commit(use)

        await self._writer.submit(operation, alone=True)

    async def open_revisions(
        self, name: str, document_id: str, revisions: Sequence[str] | None, *, latest: bool = False
    ) -> list[Document]:
        """Some revisions of a document, or all its leaves (None), winner first; forgotten bodies are None.

        `latest` gives the leaves that descend from a revision instead of it.
        """
        home = self.collection(name).home(document_id)
        if home is None:
            return []
        return await self._read(
            lambda c: reading.open_revisions(c, home, document_id, revisions, latest=latest)
        )

    async def open_many(
        self, name: str, asked: Sequence[tuple[str, str | None]], *, latest: bool = False
    ) -> list[list[tuple[Document, list[str]]]]:
        """For each `(id, revision)`, None being the winner: what is known of it, each with its path."""
        state = self.collection(name)
        return await self._read(lambda c: reading.open_many(c, state, asked, latest=latest))

    async def paths(self, name: str, asked: Sequence[tuple[str, str]]) -> list[tuple[str, ...]]:
        """For each `(id, revision)` it and its known ancestors, newest first. See `paths.paths`."""
        state = self.collection(name)
        return await self._read(lambda c: paths.paths(c, state, asked))

    async def conflicts(
        self, name: str, after: str | None = None, limit: int = 100
    ) -> list[ConflictedDocument]:
        """Documents with more than one live leaf, in order of their ids, beginning behind `after`."""
        state = self.collection(name)
        return await self._read(lambda c: reading.conflicted(c, state, after, limit))

    async def examine(self, name: str, ids: Sequence[str], function: Callable[[str, History], T]) -> list[T]:
        """What a pure function makes of documents' histories, in a reader thread and one read transaction."""
        state = self.collection(name)
        return await self._read(
            lambda c: [function(i, conflicts.history_of(c, state.home(i) or state, i)) for i in ids]
        )

    async def end_conflicts(self, name: str, endings: Sequence[Ending]) -> list[bool | Exception]:
        """Writes what ends conflicts, each ending whole. See `conflicts.end_all`."""
        return await self._write(name, lambda tx, state: conflicts.end_all(tx, state, self._editor, endings))

    async def resolve(
        self, name: str, leaves: frozenset[str], edit: Edit, review: Review | None = None
    ) -> str:
        """Ends a document's conflict by an edit and returns its revision. See `conflicts.resolve`."""
        return await self._write(
            name, lambda tx, state: conflicts.resolve(tx, state, self._editor, leaves, edit), review
        )

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

    # ---- local documents

    def get_local(self, name: str, local_id: str) -> LocalDocument | None:
        """A local document by its id without `_local/`."""
        state = self.collection(name)
        return self._now(lambda c: local_documents.read(c, state, local_id))

    async def local_documents(self, name: str, query: AllDocs) -> list[LocalDocument]:
        """Local documents in order of their ids."""
        state = self.collection(name)
        return await self._read(lambda c: local_documents.read_all(c, state, query))

    def count_local(self, name: str, writer: str) -> int:
        """How many local documents a grant has made."""
        state = self.collection(name)
        return self._now(lambda c: local_documents.count_of(c, state, writer))

    async def put_local(
        self, name: str, local_id: str, body: str, revision: str | None = None, writer: str | None = None
    ) -> str:
        """Writes a local document (`body` JSON text without `_id` and `_rev`); see `local_documents.put`."""
        return await self._write(
            name, lambda tx, state: local_documents.put(tx, state, local_id, body, revision, writer)
        )

    async def delete_local(self, name: str, local_id: str, revision: str | None = None) -> None:
        """Removes a local document. Raises NotFound, Conflict."""
        await self._write(name, lambda tx, state: local_documents.delete(tx, state, local_id, revision))

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
        review: Review | None = None,
    ) -> str:
        """Adds or replaces one attachment and returns the new revision. See `editing.Editor.attach`."""
        return await self._write(
            name,
            lambda tx, state: self._editor.attach(
                tx, state, document_id, attachment, content_type, blob, if_match
            ),
            review,
        )

    async def delete_attachment(
        self,
        name: str,
        document_id: str,
        attachment: str,
        if_match: str | None = None,
        review: Review | None = None,
    ) -> str:
        """Removes one attachment and returns the new revision. Raises NotFound."""
        return await self._write(
            name, lambda tx, state: self._editor.detach(tx, state, document_id, attachment, if_match), review
        )

    def attachment(
        self, name: str, document_id: str, attachment: str, revision: str | None = None
    ) -> AttachmentContent | None:
        """An attachment's facts with its bytes, or the file that holds them."""
        home = self.collection(name).home(document_id)
        if home is None:
            return None
        return self._now(
            lambda c: reading.attachment(c, self._blobs, home, document_id, attachment, revision)
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

    async def document_changes(self, name: str, query: ChangesQuery) -> DocumentChanges:
        """The change feed of one collection in CouchDB's way, its design documents among the others.

        A reader sees a commit a moment before `last_seq` does. What is newer than that waits for the next
        batch: whoever is told of a number may come back with it at once, and must find it known.
        """
        state, known = self.collection(name), self._committed
        query = replace(query, until=known if query.until is None else min(query.until, known))
        return await self._read(lambda c: document_changes.document_changes(c, state, query))

    async def wait_for_change(
        self, after: int, collections: Mapping[str, CollectionState] | None = None
    ) -> None:
        """Returns when a change newer than `after` is durable, or when `collections`, if given, are old.

        Cancelled when the file closes.
        """
        while True:
            if self._closing:
                raise asyncio.CancelledError
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._waiters.add(waiter)  # before the look, since the writer looks for waiters after it commits
            try:
                if self._committed > after or (collections is not None and collections is not self._states):
                    return
                await waiter
            finally:
                self._waiters.discard(waiter)

    async def updated_at(self) -> str | None:
        """When anything was last changed, UTC."""
        return await self._read(lambda c: changes.changed_at(c, self._committed))

    # ---- views

    @property
    def has_design_documents(self) -> bool:
        """Whether any collection has, or ever had, a design document."""
        return self._has_design

    def design_seq(self, name: str) -> int:
        """The latest change of a collection's design documents, 0 while there was none. Does not block."""
        hidden = self.collection(name).design
        return 0 if hidden is None else self._now(lambda c: newest_change(c, hidden))

    async def views(self, broken: ViewFile | None = None) -> ViewFile:
        """The file of the view indexes, opened or made when first asked for. `broken` is never given again.

        Raises:
            StorageError: the folder cannot be written. Unavailable: closing.
        """
        if self._views is not None and self._views is not broken and not self._closing:
            return self._views
        # Whoever asks may go away; a file must not be opened by two at once.
        return await asyncio.shield(asyncio.ensure_future(self._open_views(broken)))

    async def _open_views(self, broken: ViewFile | None) -> ViewFile:
        async with self._opening_views:
            if self._closing:
                raise Unavailable("The store is closing.", code="closing")
            if self._views is None or self._views is broken:
                path = self.path.with_name(FILE_NAME)
                if self._views is not None:
                    await self._views.close()
                    await asyncio.to_thread(remove_views, path)
                self._views = None
                views = await ViewFile.open(path, self.epoch)
                await views.forget_collections({state.number for state in self._states.values()})
                self._views = views
            return self._views

    # ---- care

    async def compact(self) -> dict[str, int]:
        """Forgets what retention allows; returns counts of `bodies`, `revisions`, `contents` and `files`."""
        options = self._options
        before = await self._read(lambda c: compaction.oldest_kept(c, options.retention_s))
        counts = {"bodies": 0, "revisions": 0, "contents": 0, "files": 0}
        while forgotten := await self._writer.submit(lambda tx: compaction.forget_bodies(tx, before)):
            counts["bodies"] += forgotten
        parts = all_parts(self._states.values())
        numbers = {state.number: state for state in parts}
        for number, document_id in await self._read(lambda c: compaction.overgrown(c, parts)):
            if state := numbers.get(number):
                counts["revisions"] += await self._stem(state, document_id)
        await self._writer.submit(lambda tx: compaction.forget_times(tx, before))
        counts["contents"] = await self._writer.submit(self._blobs.forget_unreferenced)
        counts["files"] = await self._read(self._blobs.sweep)
        await self._forget_sources()
        await self._writer.submit(compaction.note_done)
        return counts

    @property
    def is_compacting(self) -> bool:
        """Whether old bodies are being forgotten now."""
        return self._compacting is not None and not self._compacting.done()

    def compact_soon(self) -> None:
        """Begins `compact` in the background, unless it runs already."""
        if not self.is_compacting and not self._closing:
            self._compacted_at = self._committed
            self._compacting = self._loop.create_task(self._compact_quietly())

    async def _forget_sources(self) -> None:
        until = self._committed  # before the collections, so that it holds all that had changes up to then
        states = all_parts(self._states.values())
        obsolete = await self._read(lambda c: compaction.obsolete_sources(c, states, until))
        for at in range(0, len(obsolete), compaction.BATCH):
            batch = obsolete[at : at + compaction.BATCH]
            await self._writer.submit(partial(compaction.forget_sources, numbers=batch))

    async def _stem(self, state: CollectionState, document_id: str) -> int:
        return await self._writer.submit(lambda tx: compaction.stem(tx, state, [document_id]))

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
        self._has_design = any(state.design is not None for state in self._states.values())
        self._limit_revisions(self._states.values())
        self._committed = last_seq(connection, self._states)
        # A file that was long not looked at is compacted after its next change; no timer is needed.
        self._compacted_at = -_COMPACT_EVERY if compaction.is_due(connection) else self._committed
        self._journal = Journal(self._committed)
        self._documents = Documents(self._journal)
        self._rows = Rows(self._documents, lambda: self._states, self._options.query_timeout_s)
        self._editor = Editor(self._documents, self._journal, self._blobs, lambda: self._states)

    def _limit_revisions(self, states: Iterable[CollectionState]) -> None:
        for state in states:
            limit = state.settings.get("revs_limit", self._options.revs_limit)
            for part in state.parts:
                part.revs_limit = limit

    def _use(self, states: Mapping[str, CollectionState]) -> None:
        self._limit_revisions(states.values())
        self._states = states
        self._loop.call_soon_threadsafe(self._glances.forget)
        self._loop.call_soon_threadsafe(self._wake)

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
            self.compact_soon()

    async def _compact_quietly(self) -> None:
        try:
            await self.compact()
        except LocalsrvError:
            # A full or failing disk is told to whoever writes next; compaction is tried again later.
            self._compacted_at = self._committed

    async def _write(
        self,
        name: str,
        function: Callable[[Transaction, CollectionState], T],
        review: Review | None = None,
    ) -> T:
        """Runs an operation on one collection. Raises NotFound at once when there is none."""
        self.collection(name)

        def operation(tx: Transaction) -> T:
            return function(tx, known(self._states, name))

        if review is None:
            return await self._writer.submit(operation)
        return await write_reviewed(self._writer, operation, review)

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
    "AllDocs",
    "AllDocsPage",
    "ChangeBatch",
    "ChangesQuery",
    "ConflictedDocument",
    "Database",
    "DatabaseInformation",
    "Document",
    "DocumentChanges",
    "Edit",
    "ImportResult",
    "InsertOptions",
    "LocalDocument",
    "NotFound",
    "QueryResult",
    "Revisions",
    "RowPage",
    "StoreOptions",
    "UpdateOptions",
    "WriteResult",
]
