"""Writing many documents of which most are new: the first sync, `_bulk_docs`, whole collections.

A revision of a document nobody has heard of here merges with nothing, so its row and its ancestors can be
written by a few statements for the whole batch. All others go the way of single edits.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson

from localsrv.base.errors import LocalsrvError
from localsrv.model import revisions as rev
from localsrv.store.catalog import CollectionState, body_text, canonical
from localsrv.store.documents import count
from localsrv.store.engine import Transaction
from localsrv.store.history import ADD_NODE, SUPERSEDED, WINNER, check_id
from localsrv.store.journal import Journal

if TYPE_CHECKING:
    from localsrv.store.editing import Edit

MIN_BATCH = 4
"""Fewer edits are not worth the look-ahead."""


def unknown_among(tx: Transaction, state: CollectionState, ids: Sequence[str]) -> set[str]:
    """Those of `ids` that no document here has or ever had."""
    wanted = orjson.dumps(ids).decode()
    known = {
        i
        for (i,) in tx.execute(
            f"SELECT t._id FROM json_each(?) AS w CROSS JOIN {state.table} AS t ON t._id = w.value", (wanted,)
        )
    }
    if state.has_tombstones:
        known.update(
            i
            for (i,) in tx.execute(
                "SELECT t.id FROM json_each(?) AS w CROSS JOIN localsrv_tombstones AS t"
                " ON t.collection = ? AND t.id = w.value",
                (wanted, state.number),
            )
        )
    return set(ids) - known


def plain_creations(state: CollectionState, edits: Sequence[Edit]) -> list[int]:
    """Positions of edits that create a document which no rule of the collection says anything about."""
    if not state.is_free:
        return []
    return _first_of_each_id(
        edits,
        [
            at
            for at, e in enumerate(edits)
            if e.parent is None and not e.deleted and not e.attachments and not e.kept and _fits(e.id)
        ],
    )


def whole_histories(edits: Sequence[Edit]) -> list[int]:
    """Positions of revisions made elsewhere that bring no attachments."""
    return _first_of_each_id(
        edits,
        [at for at, e in enumerate(edits) if e.path and not e.attachments and not e.kept and _fits(e.id)],
    )


def _first_of_each_id(edits: Sequence[Edit], positions: list[int]) -> list[int]:
    """Without those whose id stands twice: their order matters."""
    if len({edit.id for edit in edits}) == len(edits):
        return positions
    places: dict[str, int] = {}
    for edit in edits:
        places[edit.id] = places.get(edit.id, 0) + 1
    return [at for at in positions if places[edits[at].id] == 1]


def _fits(document_id: str) -> bool:
    try:
        return check_id(document_id)[0] != "_"  # with which only design documents' begin
    except LocalsrvError:
        return False


def create_all(tx: Transaction, journal: Journal, state: CollectionState, edits: Sequence[Edit]) -> list[str]:
    """Stores new documents (`plain_creations` of unknown ids); their revisions."""
    revisions = [rev.first_revision(canonical(e.document)) for e in edits]
    first = journal.next(tx, edits[0].source, edits[0].cause, count=len(edits))
    tx.executemany(
        state.insert_sql,
        [
            (e.id, revision, seq, body_text(e.document))  # a free collection has no columns of its own
            for seq, (e, revision) in enumerate(zip(edits, revisions, strict=True), first)
        ],
    )
    tx.after_commit(count(state, "documents", len(edits)))
    return revisions


def graft_all(tx: Transaction, journal: Journal, state: CollectionState, edits: Sequence[Edit]) -> None:
    """Stores whole histories of unknown documents. All have one source and cause.

    Raises:
        InvalidValue: a path that is none; the caller repeats the edits one by one.
    """
    for e in edits:
        rev.check_path(e.path)
    first = journal.next(tx, edits[0].source, edits[0].cause, count=len(edits))
    rows: list[tuple[Any, ...]] = []
    graves: list[tuple[Any, ...]] = []
    nodes: list[tuple[Any, ...]] = []
    for seq, e in enumerate(edits, first):
        path = e.path[: state.revs_limit]
        if e.deleted:
            graves.append((state.number, e.id, path[0], seq))
        else:
            text = body_text(e.document) if e.text is None else e.text
            if state.columns:
                rows.append((e.id, path[0], seq, text, *state.safe_column_values(e.document)))
            else:
                rows.append((e.id, path[0], seq, text))
        if e.deleted or len(path) > 1:
            nodes += _nodes(state, e, path, seq)
    tx.executemany(state.insert_sql, rows)
    tx.executemany("INSERT INTO localsrv_tombstones VALUES (?, ?, ?, ?)", graves)
    tx.executemany(ADD_NODE, nodes)
    if rows:
        tx.after_commit(count(state, "documents", len(rows)))
    if graves:
        state.has_tombstones = True
        tx.after_commit(count(state, "tombstones", len(graves)))


def _nodes(state: CollectionState, edit: Edit, path: Sequence[str], seq: int) -> list[tuple[Any, ...]]:
    out: list[tuple[Any, ...]] = []
    place = partial(_place, state.number, edit.id)
    for at, revision in enumerate(path):
        parent = path[at + 1] if at + 1 < len(path) else None
        if at == 0:
            body = body_text(edit.document) if edit.deleted else None
            out.append((*place(revision), parent, int(edit.deleted), WINNER, body, None))
        else:
            out.append((*place(revision), parent, 0, SUPERSEDED, None, seq))
    return out


def _place(number: int, document_id: str, revision: str) -> tuple[int, str, int, str]:
    generation, _, digest = revision.partition("-")
    return number, document_id, int(generation), digest
