"""Local documents: never replicated, without history. Replicators keep their checkpoints in them.

Their revisions are `0-1`, `0-2` and so on, as CouchDB's. A local document that was deleted begins anew.
"""

from __future__ import annotations

from dataclasses import dataclass

from localsrv.base.errors import InvalidValue, NotFound
from localsrv.store.catalog import CollectionState
from localsrv.store.documents import stale
from localsrv.store.driver import Connection
from localsrv.store.engine import Transaction
from localsrv.store.history import MAX_ROW_ID_BYTES
from localsrv.store.listing import AllDocs, id_range

PREFIX = "_local/"


@dataclass(frozen=True, slots=True)
class LocalDocument:
    """`id` is without `_local/`; `body` is JSON text without `_id` and `_rev`.

    `writer` is the id of the grant that made it, None where that is not known.
    """

    id: str
    rev: str
    body: str
    writer: str | None = None


def read(connection: Connection, state: CollectionState, local_id: str) -> LocalDocument | None:
    """One local document."""
    found = connection.execute(
        "SELECT rev, body, writer FROM localsrv_local WHERE collection = ? AND id = ?",
        (state.number, local_id),
    ).fetchone()
    return LocalDocument(local_id, f"0-{found[0]}", found[1], found[2]) if found else None


def read_all(connection: Connection, state: CollectionState, query: AllDocs) -> list[LocalDocument]:
    """Local documents in order of their ids."""
    condition, parameters = id_range(query, "id")
    rows = connection.execute(
        f"SELECT id, rev, body FROM localsrv_local WHERE collection = ? AND {condition}"
        f" ORDER BY id {'DESC' if query.descending else 'ASC'} LIMIT ? OFFSET ?",
        (state.number, *parameters, -1 if query.limit is None else query.limit, query.skip),
    )
    return [LocalDocument(i, f"0-{rev}", body) for i, rev, body in rows]


def count_of(connection: Connection, state: CollectionState, writer: str) -> int:
    """How many local documents of a collection a grant has made."""
    sql = "SELECT count(*) FROM localsrv_local WHERE collection = ? AND writer = ?"
    found: int = connection.execute(sql, (state.number, writer)).fetchone()[0]
    return found


def put(
    tx: Transaction,
    state: CollectionState,
    local_id: str,
    body: str,
    revision: str | None,
    writer: str | None = None,
) -> str:
    """Writes a local document and returns its revision. It stays its first writer's while it exists.

    Raises:
        Conflict: `revision` is not the stored one. InvalidValue: an id that cannot be kept.
    """
    if not local_id or "\0" in local_id or len(local_id.encode("utf-8", "replace")) > MAX_ROW_ID_BYTES:
        raise InvalidValue("A local document's id must be a text of 1 to 1,000 bytes.", code="invalid-id")
    there = read(tx.connection, state, local_id)
    if there is not None and there.rev != revision:
        raise stale(state, PREFIX + local_id)
    # CouchDB takes any revision for one that does not exist, and counts on from it.
    number = _number(revision) + 1
    tx.execute(
        "INSERT INTO localsrv_local (collection, id, rev, body, writer) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET rev = excluded.rev, body = excluded.body",
        (state.number, local_id, number, body, writer),
    )
    return f"0-{number}"


def delete(tx: Transaction, state: CollectionState, local_id: str, revision: str | None) -> None:
    """Removes a local document for good. Raises NotFound, Conflict."""
    there = read(tx.connection, state, local_id)
    if there is None:
        raise NotFound(f"There is no local document `{local_id[:200]}`.", code="no-document")
    if revision is not None and there.rev != revision:
        raise stale(state, PREFIX + local_id)
    tx.execute("DELETE FROM localsrv_local WHERE collection = ? AND id = ?", (state.number, local_id))


def _number(revision: str | None) -> int:
    if revision is None:
        return 0
    generation, dash, number = revision.partition("-")
    if generation != "0" or not dash or not number.isascii() or not number.isdecimal() or len(number) > 18:
        raise InvalidValue(
            f"`{revision[:80]}` is not the revision of a local document.",
            code="invalid-revision",
            hint="They look like 0-1.",
        )
    return int(number)
