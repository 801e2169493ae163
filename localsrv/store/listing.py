"""Lists of documents by id, as CouchDB's `_all_docs` gives them: live ones, design documents among them.

Ids are ordered by their bytes (code points).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from localsrv.store.catalog import CollectionState, newest_change
from localsrv.store.driver import Connection
from localsrv.store.reading import Document, attachments_of


@dataclass(frozen=True, slots=True)
class AllDocs:
    """Which documents. With `descending`, `start` is the highest id and `end` the lowest.

    `after_start` leaves out the id `start` itself: the next page. `with_offset` counts what comes before
    the first row, which takes time that grows with it.
    """

    start: str | None = None
    end: str | None = None
    inclusive_end: bool = True
    descending: bool = False
    skip: int = 0
    limit: int | None = None
    with_bodies: bool = False
    after_start: bool = False
    with_offset: bool = False


@dataclass(frozen=True, slots=True)
class AllDocsPage:
    """`rows` without `body` and attachments unless asked for; `total` counts all live documents."""

    rows: list[Document]
    offset: int
    total: int


def all_docs(connection: Connection, state: CollectionState, query: AllDocs) -> AllDocsPage:
    """One page of a collection's live documents."""
    total = sum(part.documents for part in state.parts)
    condition, parameters = id_range(query)
    body = "_body" if query.with_bodies else "NULL"
    direction = "DESC" if query.descending else "ASC"
    sources = " UNION ALL ".join(
        f"SELECT _id, _rev, {body} AS body, {part.number} AS part FROM {part.table} WHERE {condition}"
        for part in state.parts
    )
    rows = connection.execute(
        f"{sources} ORDER BY _id {direction} LIMIT ? OFFSET ?",  # merges the indexes, sorts nothing
        (*parameters * len(state.parts), -1 if query.limit is None else query.limit, query.skip),
    ).fetchall()
    by_number = {part.number: part for part in state.parts}
    documents = [
        Document(
            i, r, False, text, attachments_of(connection, by_number[n], i, r) if text is not None else ()
        )
        for i, r, text, n in rows
    ]
    offset = _before(connection, state, query) + query.skip if query.with_offset else query.skip
    return AllDocsPage(documents, min(offset, total), total)


def id_range(query: AllDocs, column: str = "_id") -> tuple[str, tuple[str, ...]]:
    """The condition that a query's `start` and `end` make, and its parameters."""
    forward, back = ("<", ">") if query.descending else (">", "<")
    conditions, parameters = ["1"], []
    if query.start is not None:
        conditions.append(f"{column} {forward}{'' if query.after_start else '='} ?")
        parameters.append(query.start)
    if query.end is not None:
        conditions.append(f"{column} {back}{'=' if query.inclusive_end else ''} ?")
        parameters.append(query.end)
    return " AND ".join(conditions), tuple(parameters)


def _before(connection: Connection, state: CollectionState, query: AllDocs) -> int:
    if query.start is None:
        return 0
    sign = ">" if query.descending else "<"
    return sum(
        connection.execute(
            f"SELECT count(*) FROM {part.table} WHERE _id {sign} ?", (query.start,)
        ).fetchone()[0]
        for part in state.parts
    )


def get_documents(
    connection: Connection, state: CollectionState, ids: Sequence[str]
) -> list[Document | None]:
    """The winners of some documents, deleted ones too, in the order of `ids`; None for unknown ones."""
    found: dict[str, Document] = {}
    wanted = orjson.dumps(ids).decode()
    for part in state.parts:
        live = connection.execute(
            "SELECT t._id, t._rev, t._body FROM json_each(?) AS w"
            f" CROSS JOIN {part.table} AS t ON t._id = w.value",
            (wanted,),
        ).fetchall()
        for i, r, body in live:
            found[i] = Document(i, r, False, body, attachments_of(connection, part, i, r))
        if part.has_tombstones:
            for i, r, body in _dead(connection, part, wanted):
                found[i] = Document(i, r, True, body, attachments_of(connection, part, i, r))
    return [found.get(document_id) for document_id in ids]


def _dead(connection: Connection, state: CollectionState, wanted: str) -> list[tuple[str, str, str | None]]:
    return connection.execute(
        "SELECT t.id, t.rev, r.body FROM json_each(?1) AS w"
        " CROSS JOIN localsrv_tombstones AS t ON t.collection = ?2 AND t.id = w.value"
        " LEFT JOIN localsrv_revisions AS r ON r.collection = ?2 AND r.id = t.id"
        " AND r.generation = CAST(substr(t.rev, 1, instr(t.rev, '-') - 1) AS INTEGER)"
        " AND r.digest = substr(t.rev, instr(t.rev, '-') + 1)",
        (wanted, state.number),
    ).fetchall()


_COUNTED = 10_000
_SAMPLES = 1000


def measures(connection: Connection, state: CollectionState) -> tuple[int, int]:
    """`(latest change, bytes of the live bodies)` of a collection; see `DatabaseInformation`."""
    newest = max(newest_change(connection, part) for part in state.parts)
    return newest, sum(_body_bytes(connection, part) for part in state.parts)


def _body_bytes(connection: Connection, part: CollectionState) -> int:
    if part.documents <= _COUNTED:
        sql = f"SELECT coalesce(sum(octet_length(_body)), 0) FROM {part.table}"
        return int(connection.execute(sql).fetchone()[0])
    last = connection.execute(f"SELECT max(_row) FROM {part.table}").fetchone()[0]
    average = connection.execute(
        f"SELECT avg(octet_length(_body)) FROM {part.table} WHERE _row IN"
        " (WITH RECURSIVE n(r) AS (SELECT 1 UNION ALL SELECT r + ?1 FROM n WHERE r + ?1 <= ?2)"
        " SELECT r FROM n)",
        (max(last // _SAMPLES, 1), last),
    ).fetchone()[0]
    return round((average or 0) * part.documents)
