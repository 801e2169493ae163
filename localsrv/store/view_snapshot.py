"""Questions to one state of a view index. Everything here blocks and belongs in a thread."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from localsrv.base.errors import StorageError
from localsrv.store.driver import Connection, connect, sqlite3, translate


@dataclass(frozen=True, slots=True)
class Bound:
    """An end of a range: a key, and the id in it where the rows of that key begin or end (None: all of them).

    `inclusive` says whether what is named belongs to the range.
    """

    key: bytes
    id: str | None = None
    inclusive: bool = True


@dataclass(frozen=True, slots=True)
class Range:
    """Rows of one function between two bounds, the lower first; None is open."""

    view: int
    low: Bound | None = None
    high: Bound | None = None


@dataclass(frozen=True, slots=True)
class ViewRow:
    """A row as JSON texts."""

    id: str
    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Numbers:
    """What SQLite adds up of a group: rows, and of their values if all are numbers (else `sum` is None)."""

    key: str
    count: int
    sum: int | float | None = None
    min: int | float | None = None
    max: int | float | None = None
    sumsqr: int | float | None = None


class Snapshot:
    """A connection within one read transaction."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.seq = 0
        self._number = 0
        self._totals: list[int] = []

    @classmethod
    def begin(cls, old: Snapshot | None, path: Path, number: int) -> Snapshot:
        """A snapshot of the index `number`, on the connection of an old one if there is any."""
        snapshot = old
        try:
            snapshot = snapshot or cls(connect(path, read_only=True))
            snapshot.connection.execute("BEGIN")
            row = snapshot.connection.execute(
                "SELECT seq, totals FROM indexes WHERE number = ?", (number,)
            ).fetchone()
            if row is None:
                raise StorageError("The index was dropped.", code="index-dropped")
        except BaseException as error:
            if snapshot is not None:
                snapshot.close()
            raise translate(error) if isinstance(error, sqlite3.Error) else error from None
        snapshot._number = number
        snapshot.seq, snapshot._totals = row[0], orjson.loads(row[1])
        return snapshot

    def end(self) -> None:
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def close(self) -> None:
        self.connection.close()

    # ---- questions

    def total(self, view: int) -> int:
        """How many rows a function has."""
        return self._totals[view]

    def rows(self, asked: Range, *, descending: bool, skip: int, limit: int | None) -> Iterator[ViewRow]:
        """Rows in view order: by key, then by id, then as they were emitted. Read as they are taken."""
        condition, parameters = _condition(asked)
        way = "DESC" if descending else "ASC"
        try:
            for i, shown, value in self.connection.execute(
                f"SELECT id, shown, value FROM rows_{self._number} WHERE {condition}"
                f" ORDER BY key {way}, id {way}, n {way} LIMIT ? OFFSET ?",
                (*parameters, -1 if limit is None else limit, skip),
            ):
                yield ViewRow(i, shown, value_text(value))
        except sqlite3.Error as error:
            raise translate(error) from error

    def count(self, asked: Range) -> int:
        condition, parameters = _condition(asked)
        found = self._ask(f"SELECT count(*) FROM rows_{self._number} WHERE {condition}", parameters)
        return int(found[0][0])

    def count_before(self, view: int, bound: Bound, descending: bool) -> int:
        """How many rows come before the one that `bound` begins with."""
        outside = Bound(bound.key, bound.id, not bound.inclusive)
        return self.count(Range(view, low=outside) if descending else Range(view, high=outside))

    def size_bytes(self) -> int:
        """What keys, ids and values take, without what SQLite adds."""
        found = self._ask(
            "SELECT coalesce(sum(length(key) + octet_length(id) + octet_length(shown)"
            f" + coalesce(octet_length(value), 0)), 0) FROM rows_{self._number}",
            (),
        )
        return int(found[0][0])

    def numbers(self, asked: Range, *, by_key: bool, descending: bool) -> list[Numbers]:
        """Counts and sums of the whole range, or of each key. Empty for no rows.

        Raises:
            OverflowError: a sum of integers beyond 64 bits.
        """
        condition, parameters = _condition(asked)
        grouping = f"GROUP BY key ORDER BY key {'DESC' if descending else 'ASC'}" if by_key else ""
        numeric = "typeof(value) IN ('integer', 'real')"
        try:
            found = self._ask(
                f"SELECT {'shown' if by_key else 'NULL'}, count(*), sum({numeric}), sum(value), min(value),"
                " max(value), sum(CASE WHEN typeof(value) = 'integer' AND abs(value) > 1000000000"
                " THEN CAST(value AS REAL) * value ELSE value * value END)"
                f" FROM rows_{self._number} WHERE {condition} {grouping}",
                parameters,
            )
        except StorageError as error:
            if "integer overflow" in (error.details or ""):
                raise OverflowError from error
            raise
        return [
            Numbers(shown, count, *rest) if numerics == count else Numbers(shown, count)
            for shown, count, numerics, *rest in found
            if count
        ]

    def each(self, asked: Range, *, descending: bool) -> Iterator[tuple[bytes, str, str, str]]:
        """`(key bytes, key, id, value)` of every row in view order; the texts are JSON but for the id."""
        condition, parameters = _condition(asked)
        way = "DESC" if descending else "ASC"
        try:
            for key, shown, document_id, value in self.connection.execute(
                f"SELECT key, shown, id, value FROM rows_{self._number} WHERE {condition}"
                f" ORDER BY key {way}, id {way}, n {way}",
                parameters,
            ):
                yield key, shown, document_id, value_text(value)
        except sqlite3.Error as error:
            raise translate(error) from error

    def _ask(self, sql: str, parameters: tuple[Any, ...]) -> list[Any]:
        try:
            return self.connection.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise translate(error) from error


def stored_value(value: Any) -> str | int | float | None:
    """A JSON value as the file keeps it; see `sql/views`."""
    if value is None or type(value) is float:
        return value
    if type(value) is int:
        return value if -(2**63) <= value < 2**63 else float(value)
    return orjson.dumps(value).decode()


def stored_text(text: Any) -> str:
    """The JSON text of an array, object or string as the file keeps it: without taking it apart, which costs
    many times its length in memory.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(text, str) or text[:1] not in ("{", "[", '"'):
        raise ValueError("The JSON text of an array, an object or a string is wanted.")
    connection = sqlite3.connect(":memory:")
    try:
        if not connection.execute("SELECT json_valid(?)", (text,)).fetchone()[0]:
            raise ValueError("The text is no JSON.")
    finally:
        connection.close()
    return text


def value_text(value: str | int | float | None) -> str:
    """What `stored_value` kept, as JSON text."""
    if value is None:
        return "null"
    return value if isinstance(value, str) else repr(value)


def _condition(asked: Range) -> tuple[str, tuple[Any, ...]]:
    condition = "view = ?"
    parameters: list[Any] = [asked.view]
    for bound, sign, open_id in ((asked.low, ">", ""), (asked.high, "<", None)):
        if bound is None:
            continue
        equals = "=" if bound.inclusive else ""
        if bound.id is None or bound.id == open_id:
            condition += f" AND key {sign}{equals} ?"
            parameters.append(bound.key)
        else:
            condition += f" AND (key, id) {sign}{equals} (?, ?)"
            parameters += (bound.key, bound.id)
    return condition, tuple(parameters)
