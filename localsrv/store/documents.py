"""Writing and reading revisions: the part of the store that both faces stand on.

Theory of operation. The winner of a live document is its row in the collection's table. While a document
has a single revision that row is all there is. From the second revision on, `localsrv_revisions` holds the
whole tree, with the bodies of all leaves and of superseded revisions that retention still keeps; the live
winner's body stays in the table alone. Three paths are short, because nearly every write takes one of them:
creating, extending the live winner, and deleting a document without conflicts. So is that of
new leaves on branches without the winner (`new_leaf`), of which one document may have many. All others merge
trees and `_settle` what the table and the tombstones say.

All methods run on the writer thread inside an operation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from localsrv.base.errors import Conflict, NotFound
from localsrv.model import revisions as rev
from localsrv.model.revisions import Tree
from localsrv.store import history, new_leaf
from localsrv.store.catalog import CollectionState, body_text, canonical
from localsrv.store.driver import Connection, sqlite3
from localsrv.store.engine import Transaction
from localsrv.store.history import (
    ADD_NODE,
    CONFLICT,
    ONE_REVISION,
    SUPERSEDED,
    WINNER,
    Attachment,
    Current,
)
from localsrv.store.journal import Journal
from localsrv.store.new_leaf import Fit, Leaf
from localsrv.store.review import Written

_KEEP_OLD = (
    "INSERT INTO localsrv_revisions"
    " (collection, id, generation, digest, parent, deleted, state, body, superseded)"
    " VALUES (?, ?, ?, ?, NULL, 0, 0, ?, ?)"
    " ON CONFLICT DO UPDATE SET state = 0, body = excluded.body, superseded = excluded.superseded"
)


def count(state: CollectionState, attribute: str, by: int) -> Callable[[], None]:
    return lambda: setattr(state, attribute, getattr(state, attribute) + by)


class Documents:
    """Revisions of documents in one file."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    # ---- the short paths

    def create(
        self,
        tx: Transaction,
        state: CollectionState,
        document_id: str,
        document: Mapping[str, Any],
        *,
        attachments: Sequence[Attachment] = (),
        source: str | None = None,
        fresh: bool = False,
    ) -> str:
        """Stores a new document and returns its revision.

        `fresh` says that the id was made just now, so that no deleted document can have had it.

        Raises:
            Conflict: (`code="document-exists"`) a live document has this id.
        """
        parent = None
        if state.has_tombstones and not fresh:
            parent = self._grave(tx.connection, state, document_id)
        if parent is None and not attachments:
            revision = rev.first_revision(canonical(document))
        else:
            revision = rev.revision_id(
                parent, canonical(document), attachments=[a.hashed for a in attachments]
            )
        if tx.written is not None:
            tx.written.append(
                Written(state.name, document_id, revision, parent, document, attachments=attachments)
            )
        seq = self._journal.next(tx, source)
        self._insert_row(
            tx, state, document_id, revision, seq, body_text(document), state.column_values(document)
        )
        if parent is not None:
            self._unbury(tx, state, document_id, parent, revision, seq)
        if attachments:
            self._attach(tx, state, document_id, revision, attachments)
        return revision

    def create_many(
        self, tx: Transaction, state: CollectionState, documents: Sequence[tuple[str, Mapping[str, Any]]]
    ) -> None:
        """Stores many new documents, `(id, document)` each, none of which has a tombstone.

        Raises:
            Conflict: an id exists, or stands twice in `documents`.
        """
        first = self._journal.next(tx, count=len(documents))

        def rows() -> Iterator[tuple[Any, ...]]:
            columns = state.column_values
            for seq, (document_id, document) in enumerate(documents, first):
                revision = rev.first_revision(canonical(document))
                yield (document_id, revision, seq, body_text(document), *columns(document))

        try:
            tx.executemany(state.insert_sql, rows())
        except sqlite3.IntegrityError as error:
            known = f"SELECT _id FROM {state.table} WHERE _id = ? AND _seq < ?"
            seen: set[str] = set()
            for document_id, _ in documents:
                if document_id in seen or tx.execute(known, (document_id, first)).fetchone():
                    raise exists_already(state, document_id) from error
                seen.add(document_id)
            raise
        tx.after_commit(count(state, "documents", len(documents)))
        if tx.written is not None:
            tx.written += [
                Written(state.name, document_id, rev.first_revision(canonical(document)), None, document)
                for document_id, document in documents
            ]

    def extend(
        self,
        tx: Transaction,
        state: CollectionState,
        current: Current,
        document: Mapping[str, Any],
        *,
        attachments: Sequence[Attachment] = (),
        source: str | None = None,
    ) -> str:
        """Stores an edit of the live winner and returns its revision."""
        revision = rev.revision_id(
            current.rev, canonical(document), attachments=[a.hashed for a in attachments]
        )
        if tx.written is not None:
            tx.written.append(
                Written(state.name, current.id, revision, current.rev, document, attachments=attachments)
            )
        seq = self._journal.next(tx, source)
        values = state.column_values(document)
        tx.execute(state.update_sql, (revision, seq, body_text(document), *values, current.row))
        self._supersede(tx, state, current, seq)
        generation, digest = rev.parse_revision(revision)
        tx.execute(
            ADD_NODE, (state.number, current.id, generation, digest, current.rev, 0, WINNER, None, None)
        )
        if attachments:
            self._attach(tx, state, current.id, revision, attachments)
        return revision

    def change(
        self, tx: Transaction, state: CollectionState, current: Current, document: Mapping[str, Any]
    ) -> bool:
        """Extends the live winner, its attachments staying, unless it says the same already.

        JSON texts are compared: 1 is not 1.0.
        """
        if canonical(orjson.loads(current.body)) == canonical(document):
            return False
        attachments = (
            history.attachments(tx.connection, state, current.id, current.rev)
            if state.has_attachments
            else ()
        )
        self.extend(tx, state, current, document, attachments=attachments)
        return True

    def delete(
        self, tx: Transaction, state: CollectionState, current: Current, *, source: str | None = None
    ) -> str:
        """Deletes a live document by a new revision and returns that."""
        if history.conflicts(tx.connection, state, current.id):
            return self.edit(tx, state, current.id, {}, current.rev, deleted=True, source=source)
        revision = rev.revision_id(current.rev, b"{}", deleted=True)
        if tx.written is not None:
            tx.written.append(Written(state.name, current.id, revision, current.rev, {}, deleted=True))
        seq = self._journal.next(tx, source)
        tx.execute(f"DELETE FROM {state.table} WHERE _row = ?", (current.row,))
        self._supersede(tx, state, current, seq)
        generation, digest = rev.parse_revision(revision)
        tx.execute(
            ADD_NODE, (state.number, current.id, generation, digest, current.rev, 1, WINNER, "{}", None)
        )
        self._bury(tx, state, current.id, revision, seq)
        tx.after_commit(count(state, "documents", -1))
        return revision

    def _supersede(self, tx: Transaction, state: CollectionState, current: Current, seq: int) -> None:
        generation, digest = rev.parse_revision(current.rev)
        tx.execute(_KEEP_OLD, (state.number, current.id, generation, digest, current.body, seq))

    def _insert_row(
        self,
        tx: Transaction,
        state: CollectionState,
        document_id: str,
        revision: str,
        seq: int,
        text: str,
        values: Sequence[Any],
    ) -> None:
        try:
            tx.execute(state.insert_sql, (document_id, revision, seq, text, *values))
        except sqlite3.IntegrityError as error:
            raise exists_already(state, document_id) from error
        tx.after_commit(count(state, "documents", 1))

    # ---- tombstones

    def _grave(self, connection: Connection, state: CollectionState, document_id: str) -> str | None:
        found = connection.execute(
            "SELECT rev FROM localsrv_tombstones WHERE collection = ? AND id = ?", (state.number, document_id)
        ).fetchone()
        return found[0] if found else None

    def has_graves(self, connection: Connection, state: CollectionState, ids: Sequence[str]) -> bool:
        """Whether any of `ids` belongs to a deleted document."""
        return state.has_tombstones and bool(
            connection.execute(
                "SELECT EXISTS (SELECT 1 FROM json_each(?) AS wanted CROSS JOIN localsrv_tombstones AS t"
                " ON t.collection = ? AND t.id = wanted.value)",
                (orjson.dumps(ids).decode(), state.number),
            ).fetchone()[0]
        )

    def _bury(
        self, tx: Transaction, state: CollectionState, document_id: str, revision: str, seq: int
    ) -> None:
        tx.execute(
            "INSERT INTO localsrv_tombstones VALUES (?, ?, ?, ?)", (state.number, document_id, revision, seq)
        )
        state.has_tombstones = True
        tx.after_commit(count(state, "tombstones", 1))

    def _unbury(
        self, tx: Transaction, state: CollectionState, document_id: str, parent: str, revision: str, seq: int
    ) -> None:
        """A deleted document lives again: its new revision extends the one that deleted it."""
        where = (state.number, document_id)
        tx.execute("DELETE FROM localsrv_tombstones WHERE collection = ? AND id = ?", where)
        tx.execute(
            f"UPDATE localsrv_revisions SET state = 0, superseded = ?{ONE_REVISION}",
            (seq, *where, *rev.parse_revision(parent)),
        )
        tx.execute(ADD_NODE, (*where, *rev.parse_revision(revision), parent, 0, WINNER, None, None))
        tx.after_commit(count(state, "tombstones", -1))

    # ---- the general path

    def edit(
        self,
        tx: Transaction,
        state: CollectionState,
        document_id: str,
        document: Mapping[str, Any],
        parent: str | None,
        *,
        deleted: bool = False,
        attachments: Sequence[Attachment] = (),
        source: str | None = None,
    ) -> str:
        """Adds one revision under `parent` (CouchDB's `new_edits=true`) and returns it.

        `parent` None creates, or revives what is deleted.

        Raises:
            Conflict: `parent` is not a leaf, or is None while the document lives.
        """
        current = history.current(tx.connection, state, document_id)
        if current is not None and parent == current.rev and not deleted:
            return self.extend(tx, state, current, document, attachments=attachments, source=source)
        if current is None and parent is None and not deleted:
            return self.create(tx, state, document_id, document, attachments=attachments, source=source)
        tree = history.tree(tx.connection, state, document_id)
        found = rev.leaves(tree)
        if parent is None and found:
            if current is not None:
                raise stale(state, document_id)
            parent = found[0]
        elif parent is not None and parent not in found:
            raise stale(state, document_id)
        if parent is not None and tree.nodes[parent].deleted and deleted:
            raise NotFound(f"`{document_id}` is deleted already.", code="no-document")
        revision = rev.revision_id(
            parent, canonical(document), deleted=deleted, attachments=[a.hashed for a in attachments]
        )
        path = [revision] if parent is None else [revision, parent]
        self.graft(
            tx, state, document_id, path, document, deleted=deleted, attachments=attachments, source=source
        )
        return revision

    def graft(
        self,
        tx: Transaction,
        state: CollectionState,
        document_id: str,
        path: Sequence[str],
        document: Mapping[str, Any],
        *,
        deleted: bool = False,
        attachments: Sequence[Attachment] = (),
        source: str | None = None,
        cause: str | None = None,
    ) -> bool:
        """Stores a revision made elsewhere, with its ancestors (CouchDB's `new_edits=false`).

        `path` is newest first. Whatever the document says is stored. Returns False when the revision was
        known already and its ancestors join nothing, so that nothing changed.
        """
        new = rev.path_tree(path, deleted=deleted)
        if tx.written is not None:
            parent = path[1] if len(path) > 1 else None
            tx.written.append(
                Written(state.name, document_id, path[0], parent, document, deleted, attachments)
            )
        fits = new_leaf.fit(tx.connection, state, document_id, path, deleted=deleted)
        if fits is Fit.NOTHING:
            return False
        if fits is not Fit.MORE:
            leaf = Leaf(body_text(document), deleted, self._journal.next(tx, source, cause))
            if fits is Fit.LOSER:
                new_leaf.add_loser(tx, state, document_id, path, leaf)
            elif (current := history.current(tx.connection, state, document_id)) is not None:
                new_leaf.add_winner(tx, state, current, path, leaf)
            if attachments:
                self._attach(tx, state, document_id, path[0], attachments)
            return True
        tree = history.tree(tx.connection, state, document_id)
        if path[0] in tree and rev.leaves(rev.merge(tree, new)) == rev.leaves(tree):
            return False
        seq = self._journal.next(tx, source, cause)
        if not tree.nodes and not deleted and len(path) == 1:
            values = state.safe_column_values(document)
            self._insert_row(tx, state, document_id, path[0], seq, body_text(document), values)
        else:
            merged = rev.stemmed(rev.merge(tree, new), state.revs_limit)
            self._settle(tx, state, document_id, tree, merged, {path[0]: body_text(document)}, seq)
        if attachments:
            self._attach(tx, state, document_id, path[0], attachments)
        return True

    def _settle(
        self,
        tx: Transaction,
        state: CollectionState,
        document_id: str,
        old: Tree,
        new: Tree,
        bodies: dict[str, str],
        seq: int,
    ) -> None:
        """Brings table, tombstones and revision rows from `old` to `new`."""
        where = (state.number, document_id)
        current = history.current(tx.connection, state, document_id)
        if current is not None:
            bodies[current.rev] = current.body
        leaves = rev.leaves(new)
        winner = leaves[0]
        live = not new.nodes[winner].deleted
        if live and winner not in bodies:
            bodies[winner] = history.stored_body(tx.connection, state, document_id, winner) or "{}"
        states = dict.fromkeys(new.nodes, SUPERSEDED) | dict.fromkeys(leaves, CONFLICT) | {winner: WINNER}
        self._write_nodes(tx, where, new, states, bodies, winner if live else None, seq)
        for gone in old.nodes.keys() - new.nodes.keys():
            tx.execute(
                f"DELETE FROM localsrv_revisions{ONE_REVISION}",
                (*where, *rev.parse_revision(gone)),
            )
            tx.execute(
                "DELETE FROM localsrv_attachments WHERE collection = ? AND id = ? AND rev = ?", (*where, gone)
            )
        self._place(tx, state, document_id, current, winner if live else None, winner, bodies, seq)

    def _write_nodes(
        self,
        tx: Transaction,
        where: tuple[int, str],
        new: Tree,
        states: Mapping[str, int],
        bodies: Mapping[str, str],
        in_table: str | None,
        seq: int,
    ) -> None:
        known = {
            f"{generation}-{digest}": (parent, deleted, state)
            for generation, digest, parent, deleted, state in tx.execute(
                "SELECT generation, digest, parent, deleted, state FROM localsrv_revisions"
                " WHERE collection = ? AND id = ?",
                where,
            )
        }
        for revision, node in new.nodes.items():
            row = (node.parent, int(node.deleted), states[revision])
            body = None if revision == in_table else bodies.get(revision)
            ended = seq if states[revision] == SUPERSEDED else None
            place = (*where, *rev.parse_revision(revision))
            if revision not in known:
                tx.execute(ADD_NODE, (*place, *row, body, ended))
            elif known[revision] != row or body is not None or revision == in_table:
                tx.execute(
                    "UPDATE localsrv_revisions SET parent = ?, deleted = ?, state = ?,"
                    " body = CASE WHEN ? THEN NULL ELSE coalesce(?, body) END,"
                    " superseded = CASE WHEN ? IS NULL THEN NULL ELSE coalesce(superseded, ?) END"
                    " WHERE collection = ? AND id = ? AND generation = ? AND digest = ?",
                    (*row, revision == in_table, body, ended, ended, *place),
                )

    def _place(
        self,
        tx: Transaction,
        state: CollectionState,
        document_id: str,
        current: Current | None,
        live: str | None,
        winner: str,
        bodies: Mapping[str, str],
        seq: int,
    ) -> None:
        """Writes the winner into the table, or the tombstone that stands for it."""
        where = (state.number, document_id)
        if live is None:
            if current is not None:
                tx.execute(f"DELETE FROM {state.table} WHERE _row = ?", (current.row,))
                tx.after_commit(count(state, "documents", -1))
            if self._grave(tx.connection, state, document_id) is None:
                self._bury(tx, state, document_id, winner, seq)
            else:
                tx.execute(
                    "UPDATE localsrv_tombstones SET rev = ?, seq = ? WHERE collection = ? AND id = ?",
                    (winner, seq, *where),
                )
            return
        text = bodies[live]
        values = state.safe_column_values(orjson.loads(text))
        if current is not None:
            tx.execute(state.update_sql, (live, seq, text, *values, current.row))
            return
        if tx.execute("DELETE FROM localsrv_tombstones WHERE collection = ? AND id = ?", where).rowcount:
            tx.after_commit(count(state, "tombstones", -1))
        self._insert_row(tx, state, document_id, live, seq, text, values)

    # ---- attachments

    def _attach(
        self,
        tx: Transaction,
        state: CollectionState,
        document_id: str,
        revision: str,
        attachments: Iterable[Attachment],
    ) -> None:
        place = (state.number, document_id, revision)
        generation = rev.parse_revision(revision)[0]
        tx.executemany(
            "INSERT OR IGNORE INTO localsrv_attachments VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(*place, a.name, a.content_type, a.sha256, a.revpos or generation) for a in attachments],
        )
        state.has_attachments = True


def exists_already(state: CollectionState, document_id: str) -> Conflict:
    """The error of creating what exists."""
    key = ", ".join(state.identity)
    return Conflict(
        f"`{state.name}` holds a document with this {key} already.",
        code="document-exists",
        details=f"Key ({key})=({document_id[:200]}) already exists.",
    )


def stale(state: CollectionState, document_id: str) -> Conflict:
    """The error of an edit that does not extend a current revision."""
    return Conflict(
        "Document update conflict.",
        code="revision-conflict",
        details=f"{state.name}/{document_id[:200]}",
        hint="Read the document again and repeat the change on its current revision.",
    )
