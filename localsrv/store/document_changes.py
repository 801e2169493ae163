"""The change feed of one collection as CouchDB's `_changes` tells it: its design documents among the others.

Every document once, at its latest change. A change is one of the tree, not only of the winner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

from localsrv.model import revisions as rev
from localsrv.store.catalog import CollectionState, newest_change
from localsrv.store.changes import sources_between
from localsrv.store.driver import Connection
from localsrv.store.reading import Document, attachments_of, document


@dataclass(frozen=True, slots=True)
class ChangesQuery:
    """Which changes: `since < seq <= until`, at most `limit`; the newest first when `descending`.

    `with_bodies` brings the winners along, and ends the batch early when they take much memory.

    `all_leaves` tells every leaf, not only the winner. `ids` leaves out all other documents.
    `with_pending` counts what comes after the batch, which takes time that grows with it.
    """

    since: int = 0
    until: int | None = None
    limit: int = 1000
    descending: bool = False
    all_leaves: bool = False
    with_bodies: bool = False
    with_pending: bool = False
    ids: frozenset[str] | None = None


@dataclass(slots=True)  # not frozen: see `reading.Document`
class DocumentChange:
    """A document's latest change. `revs` begins with the winner, which is `document` when asked for."""

    seq: int
    id: str
    revs: tuple[str, ...]
    deleted: bool
    document: Document | None
    source: str


@dataclass(frozen=True, slots=True)
class DocumentChanges:
    """A batch. `last_seq` is where to go on from; `more` that it was cut.

    `pending` is None unless asked for.
    """

    changes: list[DocumentChange] = field(default_factory=list)
    last_seq: int = 0
    pending: int | None = None
    more: bool = False


MOST_TEXT = 4 << 20
"""Characters of bodies after which a batch ends."""

_Entry = tuple[int, str, str, bool, str | None, CollectionState]


def document_changes(connection: Connection, state: CollectionState, query: ChangesQuery) -> DocumentChanges:
    """One batch of changes, in the order of changes."""
    limit = max(query.limit, 1)
    newest = max(newest_change(connection, part) for part in state.parts)
    until = newest if query.until is None else min(newest, query.until)
    entries: list[_Entry] = []
    ends: list[int] = []
    for part in state.parts:
        live, is_cut = _live(connection, part, query, until, limit + 1)
        entries += live
        if is_cut:
            ends.append(live[-1][0])
        if part.has_tombstones:
            entries += _dead(connection, part, query, until, limit + 1)
    if ends:  # what one part tells behind the end of another would leave a gap
        first, last = (max(ends), until) if query.descending else (0, min(ends))
        entries = [entry for entry in entries if first <= entry[0] <= last]
    entries.sort(key=lambda entry: entry[0], reverse=query.descending)
    more = bool(ends) or len(entries) > limit
    del entries[limit:]
    others = _losing_leaves(connection, state, entries) if query.all_leaves else {}
    numbers = [entry[0] for entry in entries] or [0]
    source_of = sources_between(connection, min(numbers), max(numbers))
    changes = [_change(connection, entry, others, query, source_of(entry[0])) for entry in entries]
    if query.descending:
        last = changes[-1].seq if changes else query.since
    else:
        last = changes[-1].seq if more else max(until, query.since)
    pending = _pending(connection, state, last, query) if query.with_pending else None
    return DocumentChanges(changes, last, pending, more)


def _live(
    connection: Connection, part: CollectionState, query: ChangesQuery, until: int, limit: int
) -> tuple[list[_Entry], bool]:
    """Changes of live documents, and whether their bodies were too much for all of them."""
    body = "_body" if query.with_bodies else "NULL"
    wanted, parameters = _ids_condition(query, "_id")
    rows = connection.execute(
        f"SELECT _seq, _id, _rev, {body} FROM {part.table} WHERE _seq > ? AND _seq <= ?{wanted}"
        f" ORDER BY _seq {_direction(query)} LIMIT ?",
        (query.since, until, *parameters, limit),
    )
    if not query.with_bodies:
        return [(seq, i, r, False, None, part) for seq, i, r, _ in rows], False
    entries: list[_Entry] = []
    left = MOST_TEXT
    for seq, i, r, text in rows:
        entries.append((seq, i, r, False, text, part))
        left -= len(text)
        if left <= 0:
            return entries, True
    return entries, False


def _dead(
    connection: Connection, part: CollectionState, query: ChangesQuery, until: int, limit: int
) -> list[_Entry]:
    wanted, parameters = _ids_condition(query, "id")
    rows = connection.execute(
        "SELECT seq, id, rev FROM localsrv_tombstones WHERE collection = ? AND seq > ? AND seq <= ?"
        f"{wanted} ORDER BY seq {_direction(query)} LIMIT ?",
        (part.number, query.since, until, *parameters, limit),
    )
    return [(seq, i, r, True, None, part) for seq, i, r in rows]


def _ids_condition(query: ChangesQuery, column: str) -> tuple[str, tuple[str, ...]]:
    if query.ids is None:
        return "", ()
    return f" AND {column} IN (SELECT value FROM json_each(?))", (orjson.dumps(sorted(query.ids)).decode(),)


def _direction(query: ChangesQuery) -> str:
    return "DESC" if query.descending else "ASC"


def _losing_leaves(
    connection: Connection, state: CollectionState, entries: Sequence[_Entry]
) -> dict[str, list[str]]:
    """The other leaves of those documents that have any, as they would win."""
    out: dict[str, list[tuple[tuple[bool, int, str], str]]] = {}
    for part in state.parts:
        if not connection.execute(
            "SELECT EXISTS (SELECT 1 FROM localsrv_revisions WHERE collection = ? AND state = 2)",
            (part.number,),
        ).fetchone()[0]:
            continue
        rows = connection.execute(
            "SELECT r.id, r.generation, r.digest, r.deleted FROM json_each(?) AS w"
            " CROSS JOIN localsrv_revisions AS r ON r.collection = ? AND r.id = w.value AND r.state = 2",
            (orjson.dumps([e[1] for e in entries if e[5] is part]).decode(), part.number),
        )
        for document_id, generation, digest, deleted in rows:
            revision = f"{generation}-{digest}"
            out.setdefault(document_id, []).append((rev.rank(revision, deleted=bool(deleted)), revision))
    return {i: [r for _, r in sorted(found, reverse=True)] for i, found in out.items()}


def _change(
    connection: Connection, entry: _Entry, others: dict[str, list[str]], query: ChangesQuery, source: str
) -> DocumentChange:
    seq, document_id, revision, deleted, text, part = entry
    found = None
    if query.with_bodies:
        if deleted:
            found = document(connection, part, document_id, revision)
        else:
            attached = attachments_of(connection, part, document_id, revision)
            found = Document(document_id, revision, False, text, attached)
    revs = (revision, *others.get(document_id, ()))
    return DocumentChange(seq, document_id, revs, deleted, found, source)


def _pending(connection: Connection, state: CollectionState, last: int, query: ChangesQuery) -> int:
    sign = "<" if query.descending else ">"
    total = 0
    for part in state.parts:
        total += connection.execute(
            f"SELECT count(*) FROM {part.table} WHERE _seq {sign} ? AND _seq > ?", (last, query.since)
        ).fetchone()[0]
        total += connection.execute(
            f"SELECT count(*) FROM localsrv_tombstones WHERE collection = ? AND seq {sign} ? AND seq > ?",
            (part.number, last, query.since),
        ).fetchone()[0]
    return int(total)
