"""The store's public face: all that can be asked of one app's file. It knows no HTTP, no scopes, no tokens.

How it is asked: what writes is an operation of the writer, what may scan runs in a reader thread, and single
documents are read at once (`open_file`). What is done: `rows` and `selecting` for the data face, `editing`,
`reading` and `listing` for documents, `changes` and `document_changes` for the two change feeds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from localsrv.model.merge_base import History
from localsrv.model.query import Select
from localsrv.model.schema import Collection
from localsrv.store import (
    changes,
    conflicts,
    document_changes,
    listing,
    local_documents,
    mango_indexes,
    paths,
    reading,
    rules,
)
from localsrv.store.attachments import Attachments
from localsrv.store.catalog import CollectionState, is_design, newest_change
from localsrv.store.changes import ChangeBatch
from localsrv.store.collections import Collections
from localsrv.store.conflicts import Ending
from localsrv.store.definitions import known
from localsrv.store.document_changes import ChangesQuery, DocumentChanges
from localsrv.store.documents import Documents
from localsrv.store.driver import Connection
from localsrv.store.editing import Edit, Editor
from localsrv.store.engine import Transaction
from localsrv.store.importer import Importer, ImportResult
from localsrv.store.information import DatabaseInformation, information
from localsrv.store.listing import AllDocs, AllDocsPage
from localsrv.store.local_documents import LocalDocument
from localsrv.store.mango import Mango
from localsrv.store.open_file import OpenFile, StoreOptions
from localsrv.store.query_sql import finish_row
from localsrv.store.raw_sql import QueryResult, run_raw
from localsrv.store.reading import AttachmentContent, ConflictedDocument, Document, Revisions
from localsrv.store.review import Review
from localsrv.store.rows import InsertOptions, Prepared, Rows, UpdateOptions, WriteResult, prepare_all
from localsrv.store.rules import Violation
from localsrv.store.selecting import RowPage, read_rows
from localsrv.store.view_opening import OpenViews
from localsrv.store.views import ViewFile

T = TypeVar("T")

_INLINE_ROWS = 50
"""Rows prepared on the event loop; more are prepared in a thread."""


class Database:
    """An open app file. Made by `Database.open`; all methods belong to its event loop."""

    def __init__(self, file: OpenFile) -> None:
        self.path = file.path
        self.epoch = file.epoch
        self._file = file
        self._collections = Collections(file)
        self._views = OpenViews(file)
        documents = Documents(file.journal)
        self._rows = Rows(documents, lambda: file.states, file.options.query_timeout_s)
        self._editor = Editor(documents, file.journal, file.blobs, lambda: file.states)
        self._attachments = Attachments(documents, file.blobs)
        self._importer = Importer(documents, file.blobs, lambda: file.states)
        self.mango = Mango(self)

    @classmethod
    async def open(cls, path: Path, blobs: Path, options: StoreOptions | None = None) -> Database:
        """Opens, creates or migrates a file. `blobs` is the folder for large attachments.

        Raises:
            StorageError: damaged, read-only, too new, or out of reach; nothing is changed.
        """
        return cls(await OpenFile.open(path, blobs, options or StoreOptions()))

    async def close(self) -> None:
        """Finishes waiting writes, writes the WAL back and closes. Live feeds end."""
        await self._views.close()
        await self._file.close()

    # ---- collections

    @property
    def collections(self) -> Mapping[str, CollectionState]:
        """All collections by name, as of now."""
        return self._file.states

    def collection(self, name: str) -> CollectionState:
        """Raises NotFound (`code="no-collection"`)."""
        return self._file.collection(name)

    async def define(self, definitions: Mapping[str, Collection]) -> list[str]:
        """Creates or migrates collections, all or none; returns what changed, in words.

        Raises:
            ConfigError: see `definitions.define`.
        """
        return await self._collections.define(definitions)

    async def drop(self, name: str) -> None:
        """Removes a collection and everything in it. Raises NotFound, ConfigError when others refer to it."""
        await self._collections.drop(name)
        await self._views.forget_dropped()

    async def create_database(self, name: str) -> None:
        """Makes a collection without any definition, under a name as CouchDB allows it.

        Raises:
            Conflict: (`code="collection-exists"`). InvalidValue: (`code="invalid-database-name"`).
        """
        await self._collections.create(name)

    async def information(self, name: str) -> DatabaseInformation:
        """Counts and sizes of one collection with its design documents."""
        return await information(self._file, name)

    def setting(self, name: str, key: str, default: Any = None) -> Any:
        """A database's own setting, such as `security`."""
        return self.collection(name).settings.get(key, default)

    async def set_setting(self, name: str, key: str, value: Any) -> None:
        """Keeps a setting as JSON. `revs_limit` (int > 0) is in force at once."""
        await self._collections.set_setting(name, key, value)

    async def read(self, function: Callable[[Connection], T]) -> T:
        """Runs a function of a read-only connection in one read transaction, with the deadline of queries."""
        return await self._file.read(function)

    async def write(self, name: str, function: Callable[[Transaction, CollectionState], T]) -> T:
        """Runs an operation of the writer; it must be safe to run again (`store.engine`)."""
        return await self._file.write(name, function)

    def size_bytes(self) -> int:
        """The file with its WAL, and the folder of large attachments."""
        return self._file.size_bytes() + sum(stat.st_size for _, stat in self._file.blobs.files())

    # ---- data face

    async def select(self, name: str, select: Select) -> RowPage:
        """The rows of a query, and their total when it asks for a count.

        Raises:
            NotFound: no such collection. UnknownName, InvalidValue: see `query_sql.compile_select`.
            QueryTimeout: past the deadline or (`code="row-limit"`) the row limit.
        """
        return await read_rows(self._file, name, select)

    def get_row(self, name: str, document_id: str) -> tuple[str, str] | None:
        """`(row as JSON text in its * form, revision)` by `_id`; None when there is none. Does not block."""
        state = self.collection(name)
        found = self._file.row_now(state.get_sql, document_id)
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
        prepared = await _prepared(state, rows)

        def operation(tx: Transaction) -> WriteResult:
            nonlocal state, prepared
            now = known(self._file.states, name)
            if now is not state:
                state, prepared = now, prepare_all(now, rows)
            return self._rows.insert(tx, now, prepared, options or InsertOptions())

        return await self._file.submit(operation, review)

    async def update(
        self,
        name: str,
        where: Select,
        changes: dict[str, Any],
        options: UpdateOptions | None = None,
        review: Review | None = None,
    ) -> WriteResult:
        """Merges fields into every row that matches. See `rows.Rows.update`."""
        return await self._file.write(
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
        return await self._file.write(
            name, lambda tx, state: self._rows.delete(tx, state, where, options or UpdateOptions()), review
        )

    async def raw_query(
        self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = (), limit: int = 1000
    ) -> QueryResult:
        """One read-only SQL statement of the owner's. See `raw_sql.run_raw`."""
        return await self._file.readers.run(
            lambda connection: run_raw(connection, sql, parameters, limit), self._file.options.query_timeout_s
        )

    # ---- documents

    def get_document(self, name: str, document_id: str, revision: str | None = None) -> Document | None:
        """A document's winner, deleted or not, or one of its revisions; None when unknown or forgotten."""
        home = self.collection(name).home(document_id)
        if home is None:
            return None
        if not home.has_attachments:  # one statement tells it, and needs no transaction
            row = self._file.row_now(home.get_sql, document_id)
            if row is not None and revision in (None, row[1]):
                return Document(document_id, row[1], False, row[0])
        return self._file.read_now(lambda c: reading.document(c, home, document_id, revision))

    def revisions(self, name: str, document_id: str) -> Revisions | None:
        """A document's revision tree, and which bodies are stored; None when it never existed."""
        home = self.collection(name).home(document_id)
        return (
            None if home is None else self._file.read_now(lambda c: reading.revisions(c, home, document_id))
        )

    async def get_documents(self, name: str, ids: Sequence[str]) -> list[Document | None]:
        """The winners of some documents, deleted ones too; None for unknown ones."""
        state = self.collection(name)
        return await self._file.read(lambda c: listing.get_documents(c, state, ids))

    async def all_docs(self, name: str, query: AllDocs) -> AllDocsPage:
        """Live documents in order of their ids, design documents among them."""
        state = self.collection(name)
        return await self._file.read(lambda c: listing.all_docs(c, state, query))

    async def documents(
        self, name: str, *, after: str | None = None, limit: int = 100, descending: bool = False
    ) -> list[Document]:
        """Live documents in order of their ids, beginning behind `after`."""
        state = self.collection(name)
        return await self._file.read(
            lambda c: reading.documents(c, state, after, limit, descending=descending)
        )

    async def put(self, name: str, edit: Edit) -> str:
        """Writes one revision and returns it. See `editing.Editor.put`."""
        await self._collections.make_design(name, [edit.id])

        def operation(tx: Transaction, state: CollectionState) -> str:
            revision = self._editor.put(tx, state, edit)
            if is_design(edit.id):
                mango_indexes.drop_unused(tx, state)
            return revision

        return await self._file.write(name, operation)

    async def put_many(
        self, name: str, edits: Sequence[Edit], *, new_edits: bool = True
    ) -> list[str | Exception]:
        """Writes many revisions in one operation, each for itself: its revision, or why it was refused.

        `new_edits=False` stores revisions made elsewhere under the ids they have (`Edit.path`).
        """
        await self._collections.make_design(name, (e.id for e in edits))

        def operation(tx: Transaction, state: CollectionState) -> list[str | Exception]:
            results = self._editor.put_many(tx, state, edits, new_edits=new_edits)
            if state.design is not None and any(is_design(e.id) for e in edits):
                mango_indexes.drop_unused(tx, state)
            return results

        return await self._file.write(name, operation)

    async def import_documents(
        self, name: str, documents: Sequence[Mapping[str, Any]], review: Review | None = None
    ) -> ImportResult:
        """Stores documents as they are, tolerantly. See `importer.Importer.import_documents`."""
        return await self._file.write(
            name, lambda tx, state: self._importer.import_documents(tx, state, documents), review
        )

    async def open_revisions(
        self, name: str, document_id: str, revisions: Sequence[str] | None, *, latest: bool = False
    ) -> list[Document]:
        """Some revisions of a document, or all its leaves (None), winner first; forgotten bodies are None.

        `latest` gives the leaves that descend from a revision instead of it.
        """
        home = self.collection(name).home(document_id)
        if home is None:
            return []
        return await self._file.read(
            lambda c: reading.open_revisions(c, home, document_id, revisions, latest=latest)
        )

    async def open_many(
        self, name: str, asked: Sequence[tuple[str, str | None]], *, latest: bool = False
    ) -> list[list[tuple[Document, list[str]]]]:
        """For each `(id, revision)`, None being the winner: what is known of it, each with its path."""
        state = self.collection(name)
        return await self._file.read(lambda c: reading.open_many(c, state, asked, latest=latest))

    async def paths(self, name: str, asked: Sequence[tuple[str, str]]) -> list[tuple[str, ...]]:
        """For each `(id, revision)` it and its known ancestors, newest first. See `paths.paths`."""
        state = self.collection(name)
        return await self._file.read(lambda c: paths.paths(c, state, asked))

    async def conflicts(
        self, name: str, after: str | None = None, limit: int = 100
    ) -> list[ConflictedDocument]:
        """Documents with more than one live leaf, in order of their ids, beginning behind `after`."""
        state = self.collection(name)
        return await self._file.read(lambda c: reading.conflicted(c, state, after, limit))

    async def examine(self, name: str, ids: Sequence[str], function: Callable[[str, History], T]) -> list[T]:
        """What a pure function makes of documents' histories, in a reader thread and one read transaction."""
        state = self.collection(name)
        return await self._file.read(
            lambda c: [function(i, conflicts.history_of(c, state.home(i) or state, i)) for i in ids]
        )

    async def end_conflicts(self, name: str, endings: Sequence[Ending]) -> list[bool | Exception]:
        """Writes what ends conflicts, each ending whole. See `conflicts.end_all`."""
        return await self._file.write(
            name, lambda tx, state: conflicts.end_all(tx, state, self._editor, endings)
        )

    async def resolve(
        self, name: str, leaves: frozenset[str], edit: Edit, review: Review | None = None
    ) -> str:
        """Ends a document's conflict by an edit and returns its revision. See `conflicts.resolve`."""
        return await self._file.write(
            name, lambda tx, state: conflicts.resolve(tx, state, self._editor, leaves, edit), review
        )

    async def missing_revisions(
        self, name: str, asked: Mapping[str, Sequence[str]]
    ) -> dict[str, tuple[list[str], list[str]]]:
        """`id → (revisions not known here, leaves they may extend)`, only for ids with any missing."""
        state = self.collection(name)
        return await self._file.read(lambda c: reading.missing_revisions(c, state, asked))

    async def mark_synced(self, name: str, peer: str, revisions: Iterable[tuple[str, str]]) -> None:
        """Remembers that a peer has these `(id, revision)`: compaction keeps them as merge ancestors."""
        pairs = list(revisions)
        await self._file.write(name, lambda tx, state: self._editor.mark_synced(tx, state, peer, pairs))

    async def violations(self, name: str, limit: int = 1000) -> list[Violation]:
        """Stored documents that break a rule of their collection."""
        state = self.collection(name)
        return await self._file.read(lambda c: list(rules.violations(c, self._file.states, state, limit)))

    # ---- local documents

    def get_local(self, name: str, local_id: str) -> LocalDocument | None:
        """A local document by its id without `_local/`."""
        state = self.collection(name)
        return self._file.read_now(lambda c: local_documents.read(c, state, local_id))

    async def local_documents(self, name: str, query: AllDocs) -> list[LocalDocument]:
        """Local documents in order of their ids."""
        state = self.collection(name)
        return await self._file.read(lambda c: local_documents.read_all(c, state, query))

    def count_local(self, name: str, writer: str) -> int:
        """How many local documents a grant has made."""
        state = self.collection(name)
        return self._file.read_now(lambda c: local_documents.count_of(c, state, writer))

    async def put_local(
        self, name: str, local_id: str, body: str, revision: str | None = None, writer: str | None = None
    ) -> str:
        """Writes a local document (`body` JSON text without `_id` and `_rev`); see `local_documents.put`."""
        return await self._file.write(
            name, lambda tx, state: local_documents.put(tx, state, local_id, body, revision, writer)
        )

    async def delete_local(self, name: str, local_id: str, revision: str | None = None) -> None:
        """Removes a local document. Raises NotFound, Conflict."""
        await self._file.write(name, lambda tx, state: local_documents.delete(tx, state, local_id, revision))

    # ---- attachments

    async def receive(self, chunks: AsyncIterator[bytes], limit: int | None = None) -> Any:
        """Takes in a content for `put_attachment` or `Edit.attachments`; see `blobs.Blobs.receive`."""
        return await self._file.blobs.receive(chunks, limit=limit)

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
        """Adds or replaces one attachment and returns the new revision. See `Attachments.attach`."""
        return await self._file.write(
            name,
            lambda tx, state: self._attachments.attach(
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
        return await self._file.write(
            name,
            lambda tx, state: self._attachments.detach(tx, state, document_id, attachment, if_match),
            review,
        )

    def attachment(
        self, name: str, document_id: str, attachment: str, revision: str | None = None
    ) -> AttachmentContent | None:
        """An attachment's facts with its bytes, or the file that holds them."""
        home = self.collection(name).home(document_id)
        if home is None:
            return None
        return self._file.read_now(
            lambda c: reading.attachment(c, self._file.blobs, home, document_id, attachment, revision)
        )

    # ---- change feed

    @property
    def last_seq(self) -> int:
        """The newest sequence number that is durable."""
        return self._file.committed

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
        names = self._file.states if collections is None else collections
        states = [self.collection(name) for name in names]
        until = self._file.committed
        return await self._file.read(
            lambda c: changes.read_changes(
                c, states, since, until, limit, with_rows=with_rows, where=where or {}
            )
        )

    async def document_changes(self, name: str, query: ChangesQuery) -> DocumentChanges:
        """The change feed of one collection in CouchDB's way, its design documents among the others.

        A reader sees a commit a moment before `last_seq` does. What is newer than that waits for the next
        batch: whoever is told of a number may come back with it at once, and must find it known.
        """
        state, known = self.collection(name), self._file.committed
        query = replace(query, until=known if query.until is None else min(query.until, known))
        return await self._file.read(lambda c: document_changes.document_changes(c, state, query))

    async def wait_for_change(
        self, after: int, collections: Mapping[str, CollectionState] | None = None
    ) -> None:
        """Returns when a change newer than `after` is durable, or when `collections`, if given, are old.

        Cancelled when the file closes.
        """
        await self._file.followers.wait(
            lambda: (
                self._file.committed > after
                or (collections is not None and collections is not self._file.states)
            )
        )

    async def updated_at(self) -> str | None:
        """When anything was last changed, UTC."""
        return await self._file.read(lambda c: changes.changed_at(c, self._file.committed))

    # ---- views

    @property
    def has_design_documents(self) -> bool:
        """Whether any collection has, or ever had, a design document."""
        return self._file.has_design

    def design_seq(self, name: str) -> int:
        """The latest change of a collection's design documents, 0 while there was none. Does not block."""
        hidden = self.collection(name).design
        return 0 if hidden is None else self._file.read_now(lambda c: newest_change(c, hidden))

    async def views(self, broken: ViewFile | None = None) -> ViewFile:
        """The file of the view indexes, opened or made when first asked for. `broken` is never given again.

        Raises:
            StorageError: the folder cannot be written. Unavailable: closing.
        """
        return await self._views.get(broken)

    # ---- care

    async def compact(self) -> dict[str, int]:
        """Forgets what retention allows; returns counts of `bodies`, `revisions`, `contents` and `files`."""
        return await self._file.upkeep.compact()

    @property
    def is_compacting(self) -> bool:
        """Whether old bodies are being forgotten now."""
        return self._file.upkeep.is_running

    def compact_soon(self) -> None:
        """Begins `compact` in the background, unless it runs already."""
        self._file.upkeep.begin()

    async def snapshot(self, target: Path) -> None:
        """Writes a complete copy of the file as of now. Large attachments are not part of it."""
        await self._file.snapshot(target)


async def _prepared(state: CollectionState, rows: Sequence[dict[str, Any]]) -> Prepared:
    """What is to be written of rows; many are prepared beside the event loop."""
    if len(rows) <= _INLINE_ROWS:
        return prepare_all(state, rows)
    return await asyncio.to_thread(prepare_all, state, rows)


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
    "QueryResult",
    "Revisions",
    "RowPage",
    "StoreOptions",
    "UpdateOptions",
    "WriteResult",
]
