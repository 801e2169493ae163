"""Documents in conflict: what their merging needs to know, and writing what ends them.

A conflict ends by several revisions that only make sense together: one that takes a leaf in, and the
tombstone of that leaf. They are written all or none, and only while the document still has the leaves that
were looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import orjson

from localsrv.base.errors import Conflict, NotFound
from localsrv.model.merge import live_leaves, tombstone
from localsrv.model.merge_base import History, Version, merge_sources
from localsrv.store import history
from localsrv.store.catalog import CollectionState
from localsrv.store.driver import Connection
from localsrv.store.editing import Edit, Editor, alone
from localsrv.store.engine import Transaction
from localsrv.store.reading import document


@dataclass(frozen=True, slots=True)
class Ending:
    """What ends a document's conflict as long as `leaves` are its live leaves: revisions with their paths."""

    id: str
    leaves: frozenset[str]
    edits: tuple[Edit, ...]


def history_of(connection: Connection, state: CollectionState, document_id: str) -> History:
    """A document's history. What its revisions say is read when it is asked for, on this connection."""
    tree = history.tree(connection, state, document_id)
    tombstones = connection.execute(
        "SELECT generation || '-' || digest, body FROM localsrv_revisions"
        " WHERE collection = ? AND id = ? AND state > 0 AND deleted AND body <> '{}'",
        (state.number, document_id),
    ).fetchall()
    sources = merge_sources(tree, [(revision, orjson.loads(body)) for revision, body in tombstones])

    def version(revision: str) -> Version | None:
        found = document(connection, state, document_id, revision)
        if found is None or found.body is None:
            return None
        files = {a.name: (a.content_type, a.sha256.hex()) for a in found.attachments}
        return Version(orjson.loads(found.body), files)

    return History(tree, sources, version)


def end_all(
    tx: Transaction, state: CollectionState, editor: Editor, endings: Sequence[Ending]
) -> list[bool | Exception]:
    """Writes each ending, all of it or nothing: whether it was, False when other leaves came up meanwhile."""
    return [alone(tx, partial(_end, tx, state, editor, ending)) for ending in endings]


def _end(tx: Transaction, state: CollectionState, editor: Editor, ending: Ending) -> bool:
    if set(live_leaves(history.tree(tx.connection, state, ending.id))) != ending.leaves:
        return False
    for edit in ending.edits:
        editor.graft(tx, state, edit)
    return True


def resolve(
    tx: Transaction, state: CollectionState, editor: Editor, leaves: frozenset[str], edit: Edit
) -> str:
    """Ends a conflict by an edit made here, under the collection's rules, and returns its revision.

    It extends the winner, and every other of the live `leaves` gets a tombstone that names it.

    Raises:
        NotFound: no such document. Conflict: its live leaves are others, or it is in no conflict. The errors
        of `Editor.put`.
    """
    live = live_leaves(history.tree(tx.connection, state, edit.id))
    if not live:
        raise NotFound(f"`{state.name}` holds no document `{edit.id[:200]}`.", code="no-document")
    if set(live) != leaves or len(live) < 2:
        raise leaves_changed(live)
    revision = editor.put(tx, state, replace(edit, parent=live[0]))
    for loser in live[1:]:
        ended = tombstone(loser, revision)
        path = (ended.revision, ended.parent)
        editor.graft(tx, state, Edit(edit.id, ended.body, deleted=True, path=path, source=edit.source))
    return revision


def leaves_changed(live: Sequence[str]) -> Conflict:
    """The error of settling what is not, or no longer, in the conflict that was read."""
    return Conflict(
        "The document changed meanwhile." if len(live) > 1 else "The document is in no conflict.",
        code="leaves-changed",
        details=", ".join(live),
        hint="Read the conflict again and decide on what it is now.",
    )
