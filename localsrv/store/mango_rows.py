"""The rows of a query: candidates from SQL are checked where SQL is not exact, and put in order where it is
not.

A sort that was asked for is exact, as is the order of an index with few arrays. SQL does not know the order
among arrays and among objects, so rows that are equal up to such a value are gathered and sorted in memory:
all of them, whatever the limit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import orjson

from localsrv.model.mango_fields import set_value
from localsrv.model.mango_order import OrderKey
from localsrv.model.selector import conditions
from localsrv.model.selector_match import check_of
from localsrv.store import deadline
from localsrv.store.catalog import CollectionState
from localsrv.store.driver import Connection
from localsrv.store.mango_position import Position, band_of
from localsrv.store.mango_query import Query
from localsrv.store.mango_values import value_of
from localsrv.store.reading import AttachmentInfo, attachments_of


class Row(NamedTuple):
    """A result: the winner of a document, with its place in the order.

    `body` is None when the index covers the query; `Rows.document` has what the index knows.
    """

    position: Position
    revision: str
    body: str | None


class Rows:
    """The rows of one query on one connection."""

    def __init__(self, query: Query, connection: Connection) -> None:
        self._query = query
        self._connection = connection
        paths = [at.path for at in conditions(query.plan.request.selector.root)]
        paths += [at.path for at in conditions(query.required)]
        self._adds_attachments = any(path[:1] == ("_attachments",) for path in paths)
        self._adds_conflicts = any(path[:1] == ("_conflicts",) for path in paths)

    def between(self, after: Position | None, upto: Position | None) -> Iterator[Row]:
        """The rows behind a place and up to another, in order, found as they are asked for."""
        rows = self._checked(self._candidates(after, upto))
        if not self._query.is_exact:
            return rows
        rows = self._sorted(rows)
        return rows if after is None else self._without_seen(rows, after)

    def _candidates(self, after: Position | None, upto: Position | None) -> Iterator[Row]:
        for sql, parameters in self._query.statements(after, upto):
            for row in self._connection.execute(sql, parameters):
                yield Row(Position(row[3:], row[0]), row[1], row[2])

    # ---- what SQL only narrows down

    def _checked(self, rows: Iterator[Row]) -> Iterator[Row]:
        checks: list[Callable[[Any], bool]] = []
        if not self._query.selector_is_exact:
            checks.append(self._query.plan.request.selector.matches)
        if not self._query.required_is_exact:
            checks.append(check_of(self._query.required))
        if not checks:
            return rows
        return (row for row in rows if self._passes(row, checks))

    def _passes(self, row: Row, checks: list[Callable[[Any], bool]]) -> bool:
        document = self.document(row)
        passes = all(check(document) for check in checks)
        if deadline.is_past():  # SQLite asks only between its own steps
            self._connection.interrupt()
        return passes

    def document(self, row: Row) -> dict[str, Any]:
        """The document as a selector sees it."""
        state, document_id = self._query.state, row.position.id
        if row.body is None:
            return self._from_index(row)
        document = {"_id": document_id, "_rev": row.revision, **orjson.loads(row.body)}
        if self._adds_attachments:
            attachments = attachments_of(self._connection, state, document_id, row.revision)
            if attachments:
                document["_attachments"] = {info.name: facts_of(info) for info in attachments}
        if self._adds_conflicts and self._query.plan.request.conflicts:
            losers = conflicts_of(self._connection, state, document_id)
            if losers:
                document["_conflicts"] = losers
        return document

    def _from_index(self, row: Row) -> dict[str, Any]:
        """The fields that the index has of a document."""
        document: dict[str, Any] = {"_id": row.position.id}
        index = self._query.plan.index
        assert index is not None
        for path, key in zip(index.paths, row.position.keys, strict=False):
            set_value(document, path, value_of(key))
        return document

    # ---- order among arrays and among objects

    def _sorted(self, rows: Iterable[Row]) -> Iterator[Row]:
        group: list[Row] = []
        known: object = None
        for row in rows:
            own = _group_of(row)
            if group and own != known:
                yield from self._in_order(group)
                group = []
            known = own
            if own is None:
                yield row
            else:
                group.append(row)
        yield from self._in_order(group)

    def _in_order(self, group: list[Row]) -> list[Row]:
        return sorted(group, key=_exact_place, reverse=self._query.descending)

    def _without_seen(self, rows: Iterator[Row], after: Position) -> Iterator[Row]:
        bound, descending = after.exact, self._query.descending
        for row in rows:
            own = row.position.exact
            if own < bound if descending else own > bound:
                yield row


def _group_of(row: Row) -> object:
    """What rows have in common whose order SQL does not know; None for a row that is at its place."""
    for place, key in enumerate(row.position.keys):
        if isinstance(key, bytes):
            return row.position.keys[:place], band_of(key)
    return None


def _exact_place(row: Row) -> OrderKey:
    return row.position.exact


def facts_of(info: AttachmentInfo) -> dict[str, Any]:
    """An attachment's stub, as far as selectors ask about it."""
    return {"content_type": info.content_type, "revpos": info.revpos, "length": info.length, "stub": True}


def conflicts_of(connection: Connection, state: CollectionState, document_id: str) -> list[str]:
    """The live leaves of a document that are not its winner, the best first."""
    rows = connection.execute(
        "SELECT generation || '-' || digest FROM localsrv_revisions"
        " WHERE collection = ? AND id = ? AND state = 2 AND NOT deleted"
        " ORDER BY generation DESC, digest DESC",
        (state.number, document_id),
    )
    return [revision for (revision,) in rows]
