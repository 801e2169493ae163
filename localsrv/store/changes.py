"""The change feed: every document once, at its latest change, in the order of changes.

A sequence token is `<number>-<epoch>`, as CouchDB's begin with a number; the epoch changes when the
file is restored from a backup or recovered, so that whoever remembers a token from before notices that its
numbers mean nothing now.
"""

from __future__ import annotations

import datetime
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from localsrv.base.errors import BadRequest
from localsrv.model.query import Select
from localsrv.store.catalog import CollectionState
from localsrv.store.driver import Connection
from localsrv.store.query_sql import compile_where, finish_row

MAX_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Change:
    """The latest change of one document. `row` is its `*` form as JSON text when asked for and alive.

    `matches` says that it is alive and that the feed's filter, if there is one, lets it through. `at` is when
    it was made, UTC; None for changes older than the file remembers.
    """

    seq: int
    collection: str
    id: str
    rev: str
    deleted: bool
    source: str
    cause: str | None
    at: str | None
    row: str | None
    matches: bool


@dataclass(frozen=True, slots=True)
class ChangeBatch:
    """Changes after a sequence number. `last_seq` is where to go on from; `more` that the batch was cut."""

    changes: list[Change]
    last_seq: int
    more: bool


class EpochChanged(BadRequest):
    """A sequence token from before a restore: what it stands for is not known here."""

    status = 409
    code = "epoch-changed"


def encode_seq(epoch: str, number: int) -> str:
    """The token that clients see."""
    return f"{number}-{epoch}"


def decode_seq(epoch: str, token: str) -> int:
    """The number in a token.

    Raises:
        EpochChanged: a token of another epoch.
        BadRequest: no token at all.
    """
    if token == "0":  # noqa: S105 - CouchDB's word for the beginning
        return 0
    number, dash, head = token.partition("-")
    if not dash or not number.isascii() or not number.isdecimal() or len(number) > 18:
        raise BadRequest(
            f"`{token[:80]}` is not a sequence token.",
            code="invalid-since",
            details="since",
            hint="Send a `seq` that this feed told, or leave `since` out.",
        )
    if head != epoch:
        raise EpochChanged(
            "The data was restored since this token was given.",
            hint="Load everything again and go on from the new token.",
        )
    return int(number)


def read_changes(
    connection: Connection,
    states: Sequence[CollectionState],
    since: int,
    until: int,
    limit: int,
    *,
    with_rows: bool,
    where: Mapping[str, Select],
) -> ChangeBatch:
    """Changes with `since < seq <= until` of some collections, at most `limit`.

    `until` is a number known to be committed. `where` maps a collection to a filter. Documents that it does
    not let through are told too, without their row: they may have matched before.
    """
    limit = max(limit, 1)  # a batch of nothing would have no place to go on from
    found: list[tuple[int, CollectionState, str, str, bool, bool, str | None]] = []
    more = False
    for state in states:
        part = _of_collection(connection, state, since, until, limit + 1, with_rows, where.get(state.name))
        more = more or len(part) > limit
        found += [(seq, state, *rest) for seq, *rest in part]  # type: ignore[misc]
    found.sort(key=lambda entry: entry[0])
    more = more or len(found) > limit
    found = found[:limit]
    changes = [_change(connection, *entry) for entry in found]
    return ChangeBatch(changes, changes[-1].seq if more and changes else until, more)


def _of_collection(
    connection: Connection,
    state: CollectionState,
    since: int,
    until: int,
    limit: int,
    with_rows: bool,
    where: Select | None,
) -> list[tuple[int, str, str, bool, bool, str | None]]:
    condition, parameters = "1", ()
    if where is not None:
        compiled = compile_where(where, state.info)
        condition, parameters = compiled.sql, compiled.params  # type: ignore[assignment]
    body = "_body" if with_rows else "NULL"
    live = connection.execute(
        f"SELECT _seq, _id, _rev, ({condition}), {body} FROM {state.table}"
        f" WHERE _seq > ? AND _seq <= ? ORDER BY _seq LIMIT ?",
        (*parameters, since, until, limit),
    ).fetchall()
    dead = connection.execute(
        "SELECT seq, id, rev FROM localsrv_tombstones"
        " WHERE collection = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
        (state.number, since, until, limit),
    ).fetchall()
    info = state.info
    merged: list[tuple[int, str, str, bool, bool, str | None]] = [
        (seq, i, r, False, bool(fits), finish_row(info, i, text) if fits and text is not None else None)
        for seq, i, r, fits, text in live
    ]
    merged += [(seq, i, r, True, False, None) for seq, i, r in dead]
    merged.sort()
    return merged[:limit]


def _change(
    connection: Connection,
    seq: int,
    state: CollectionState,
    document_id: str,
    revision: str,
    deleted: bool,
    matches: bool,
    row: str | None,
) -> Change:
    source, cause = source_of(connection, seq)
    at = changed_at(connection, seq)
    return Change(seq, state.name, document_id, revision, deleted, source, cause, at, row, matches)


def source_of(connection: Connection, seq: int) -> tuple[str, str | None]:
    """`(source, cause)` of a change."""
    found = connection.execute(
        "SELECT source, cause, last FROM localsrv_sources WHERE seq <= ? ORDER BY seq DESC LIMIT 1", (seq,)
    ).fetchone()
    return (found[0], found[1]) if found and found[2] >= seq else ("local", None)


def sources_between(connection: Connection, first: int, last: int) -> Callable[[int], str]:
    """The source of any change from `first` to `last`, by one statement for all of them."""
    rows = connection.execute(
        "SELECT seq, last, source FROM localsrv_sources WHERE seq <= ?"
        " AND seq >= coalesce((SELECT max(seq) FROM localsrv_sources WHERE seq <= ?), 0) ORDER BY seq",
        (last, first),
    ).fetchall()
    begins = [row[0] for row in rows]

    def source(seq: int) -> str:
        at = bisect_right(begins, seq) - 1
        return rows[at][2] if at >= 0 and rows[at][1] >= seq else "local"

    return source if rows else lambda seq: "local"


def changed_at(connection: Connection, seq: int) -> str | None:
    """When a change was made, as UTC text."""
    found = connection.execute(
        "SELECT at FROM localsrv_times WHERE seq <= ? ORDER BY seq DESC LIMIT 1", (seq,)
    ).fetchone()
    if found is None:
        return None
    moment = datetime.datetime.fromtimestamp(found[0] / 1000, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
