"""Writes of the data face: rows in, revisions out.

A row is a document seen through its collection's definition: its key fields (or `id`) are its identity.
Every function here is part of one operation, so a request with many rows happens whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from localsrv.base.errors import BadRequest, InvalidValue, PreconditionFailed, QueryTimeout
from localsrv.model.query import Select
from localsrv.store import deadline, history, rules
from localsrv.store.catalog import CollectionState, identity_of
from localsrv.store.documents import Documents, exists_already
from localsrv.store.driver import quoted, sqlite3, translate
from localsrv.store.engine import RollbackAfter, Transaction
from localsrv.store.history import Current, check_row_id
from localsrv.store.ids import uuid7s
from localsrv.store.query_sql import compile_rows, compile_targets
from localsrv.store.query_table import TableInfo
from localsrv.store.relations import Referrers, check_references
from localsrv.store.shape import differs_by_case

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class InsertOptions:
    """`resolution` is `error`, `merge` or `ignore`.

    `on_conflict` are the unique fields that decide what exists, None the key.
    """

    resolution: str = "error"
    on_conflict: tuple[str, ...] | None = None
    returning: Select | None = None
    rollback: bool = False


@dataclass(frozen=True, slots=True)
class UpdateOptions:
    """`if_match` is the one revision that may be changed; `max_affected` fails the whole when passed."""

    if_match: str | None = None
    returning: Select | None = None
    max_affected: int | None = None
    rollback: bool = False


@dataclass(slots=True)
class WriteResult:
    """`rows` are JSON texts, when asked for; `ids` of all rows written or found unchanged, in order."""

    rows: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    affected: int = 0
    created: int = 0


class PreparedRow(NamedTuple):
    """A row ready to be written. `fresh`: its id was made here. `defaulted`: fields that nobody sent."""

    id: str
    document: Row
    rev: str | None
    fresh: bool
    defaulted: frozenset[str] = frozenset()


class Prepared(NamedTuple):
    """The rows of one request, and the field names among theirs that the collection never saw."""

    rows: list[PreparedRow]
    new_fields: set[str]


def prepare_all(state: CollectionState, rows: Sequence[Row]) -> Prepared:
    """Fits the rows of one request to their collection. Raises as `prepare`."""
    new_fields: set[str] = set()
    new_ids = uuid7s(len(rows))
    return Prepared([prepare(state, row, new_ids, new_fields) for row in rows], new_fields)


def prepare(state: CollectionState, row: Row, new_ids: Iterator[str], new_fields: set[str]) -> PreparedRow:
    """Fits a row to its collection and finds its identity, or takes it from `new_ids`.

    `new_fields` as in `Shape.checked`.

    Raises InvalidValue, SchemaViolation: see `rules.Shape.checked`, and for ids `check_row_id`.
    """
    locked = None
    if "_rev" in row:
        row = dict(row)
        locked = row.pop("_rev")
        if locked is not None and not isinstance(locked, str):
            raise InvalidValue("`_rev` must be a text.")
    key, shape = state.definition.key, state.shape
    filled = shape.with_defaults(row)
    defaulted = frozenset(filled.keys() - row.keys()) if filled is not row else frozenset()
    if key:
        document = shape.checked(filled, new_fields)
        return PreparedRow(check_row_id(identity_of(key, document)), document, locked, False, defaulted)
    given = None
    if "id" in filled:
        filled = dict(filled)
        given = filled.pop("id")
    document = shape.checked(filled, new_fields)
    if given is None:
        return PreparedRow(next(new_ids), document, locked, True, defaulted)
    return PreparedRow(check_row_id(given), document, locked, False, defaulted)


class Rows:
    """The data face's writes on one file. All methods run inside an operation."""

    def __init__(
        self, documents: Documents, states: Callable[[], Mapping[str, CollectionState]], seconds: float
    ) -> None:
        """`seconds`: the longest that a search for the rows to change may take."""
        self._documents = documents
        self._states = states
        self._seconds = seconds
        self._referrers = Referrers(documents, states)

    # ---- insert and upsert

    def insert(
        self, tx: Transaction, state: CollectionState, request: Prepared, options: InsertOptions
    ) -> WriteResult:
        """Inserts rows, or merges them into or leaves alone those that exist.

        Raises:
            Conflict: a row exists and `resolution` is `error`.
            UniqueViolation, RelationViolation, PreconditionFailed: a rule or lock says no.
        """
        prepared = request.rows
        result = WriteResult(ids=[p.id for p in prepared])
        changed: list[PreparedRow] = []
        find = self._finder(state, options)
        if (
            options.resolution == "error"
            and len(prepared) > 1
            and not self._may_meet_others(tx, state, prepared)
        ):
            self._documents.create_many(tx, state, [(p.id, p.document) for p in prepared])
            changed, result.created, result.affected = prepared, len(prepared), len(prepared)
        else:
            for i, one in enumerate(prepared):
                self._insert_one(tx, state, one, options, find, result, i, changed)
        register_fields(tx, state, request.new_fields)
        rules.check_unique(tx.connection, state, (p.id for p in changed))
        check_references(tx.connection, self._states(), state, ((p.id, p.document) for p in changed))
        if options.returning is not None:
            result.rows = self._returned(tx, state, options.returning, result.ids)
        if options.rollback:
            raise RollbackAfter(result)
        return result

    def _may_meet_others(
        self, tx: Transaction, state: CollectionState, prepared: Sequence[PreparedRow]
    ) -> bool:
        """Whether rows must be looked at one by one: they carry locks, or ids that were deleted."""
        given = [p.id for p in prepared if not p.fresh]
        if not given:
            return False
        return any(p.rev is not None for p in prepared) or self._documents.has_graves(
            tx.connection, state, given
        )

    def _insert_one(
        self,
        tx: Transaction,
        state: CollectionState,
        one: PreparedRow,
        options: InsertOptions,
        find: Callable[[Transaction, PreparedRow], Current | None],
        result: WriteResult,
        index: int,
        changed: list[PreparedRow],
    ) -> None:
        current = None if one.fresh and options.on_conflict is None else find(tx, one)
        if current is None:
            if one.rev is not None:
                raise PreconditionFailed(f"`{one.id}` does not exist, so it has no revision {one.rev}.")
            self._documents.create(tx, state, one.id, one.document, fresh=one.fresh)
            result.created += 1
        elif options.resolution == "error":
            raise exists_already(state, one.id)
        else:
            result.ids[index] = current.id
            if options.resolution == "ignore":
                result.ids[index] = ""  # PostgREST returns no row for one that was ignored
                return
            sent = {n: v for n, v in one.document.items() if n not in one.defaulted}
            self._require(current, one.rev)
            merged = self._merge(tx, state, current, sent)
            if merged is None:
                result.affected += 1
                return
            one = PreparedRow(current.id, merged, None, False)
        result.affected += 1
        changed.append(one)

    def _finder(
        self, state: CollectionState, options: InsertOptions
    ) -> Callable[[Transaction, PreparedRow], Current | None]:
        """How to find the row that an inserted one meets."""
        fields = options.on_conflict
        if fields is None or set(fields) == set(state.identity):
            return lambda tx, one: history.current(tx.connection, state, one.id)
        if not any(set(group) == set(fields) for group in state.definition.unique):
            raise BadRequest(
                "there is no unique or exclusion constraint matching the ON CONFLICT specification",
                code="no-such-unique",
                hint=f"Declare unique = [[{', '.join(fields)}]] in `{state.name}`, or leave on_conflict out.",
            )
        where = " AND ".join(f"{quoted(state.column_of(f))} = ?" for f in fields)
        sql = f"SELECT _row, _id, _rev, _body FROM {state.table} WHERE {where} LIMIT 1"

        def find(tx: Transaction, one: PreparedRow) -> Current | None:
            values = state.columns_of(one.id, one.document)
            found = tx.execute(sql, [values[f] for f in fields]).fetchone()
            return Current(*found) if found else history.current(tx.connection, state, one.id)

        return find

    # ---- update and delete

    def update(
        self, tx: Transaction, state: CollectionState, where: Select, changes: Row, options: UpdateOptions
    ) -> WriteResult:
        """Merges `changes` into every row that matches. Rows that already say so make no revision."""
        changes = dict(changes)  # an operation may run twice
        lock = changes.pop("_rev", None)
        new_fields: set[str] = set()
        if not state.definition.key and "id" in changes:
            raise InvalidValue("`id` identifies the row and cannot be changed.", code="key-immutable")
        changes = state.shape.checked(changes, new_fields, partial=True)
        result = WriteResult()
        written: list[tuple[str, Row]] = []
        for current in self._matching(tx, state, where, options):
            self._require(current, lock)
            self._require(current, options.if_match)
            if (document := self._merge(tx, state, current, changes)) is not None:
                written.append((current.id, document))
            result.ids.append(current.id)
        register_fields(tx, state, new_fields)
        rules.check_unique(tx.connection, state, (i for i, _ in written))
        check_references(tx.connection, self._states(), state, written)
        result.affected = len(result.ids)
        if options.returning is not None:
            result.rows = self._returned(tx, state, options.returning, result.ids)
        if options.rollback:
            raise RollbackAfter(result)
        return result

    def delete(
        self, tx: Transaction, state: CollectionState, where: Select, options: UpdateOptions
    ) -> WriteResult:
        """Deletes every row that matches, and what its relations' `on_delete` says."""
        found = self._matching(tx, state, where, options)
        for current in found:
            self._require(current, options.if_match)
        result = WriteResult(ids=[c.id for c in found], affected=len(found))
        if options.returning is not None:
            result.rows = self._returned(tx, state, options.returning, result.ids)
        self._referrers.delete(tx, state, found)
        if options.rollback:
            raise RollbackAfter(result)
        return result

    # ---- shared steps

    def _matching(
        self, tx: Transaction, state: CollectionState, where: Select, options: UpdateOptions
    ) -> list[Current]:
        statement = compile_targets(where, state.info)
        deadline.begin(self._seconds)
        try:
            found = [Current(*row) for row in tx.execute(statement.sql, statement.params).fetchall()]
        except sqlite3.Error as error:
            # Only a search was interrupted: the transaction stands, and its other operations with it.
            if isinstance(translated := translate(error), QueryTimeout):
                raise translated from error
            raise
        finally:
            deadline.end()
        if options.max_affected is not None and len(found) > options.max_affected:
            raise BadRequest(
                "Query result exceeds max-affected preference constraint",
                code="max-affected",
                details=f"The query affects {len(found)} rows",
            )
        return found

    def _merge(self, tx: Transaction, state: CollectionState, current: Current, changes: Row) -> Row | None:
        """Writes `changes` into a row and returns the whole; None when it says so already."""
        old: Row = orjson.loads(current.body)
        new = old | changes
        state.shape.check_schema(new)
        self._keep_identity(state, current, old, new)
        if not self._documents.change(tx, state, current, new):
            return None
        self._referrers.check_change(tx, state, current.id, old, new)
        return new

    @staticmethod
    def _keep_identity(state: CollectionState, current: Current, old: Row, new: Row) -> None:
        key = state.definition.key
        # A replicated document may have an id that is not its key: it can be changed, and mended.
        if all(old.get(k) == new.get(k) for k in key):
            return
        if any(new.get(k) is None for k in key) or identity_of(key, new) != current.id:
            raise InvalidValue(
                f"The key of `{state.name}` identifies the row and cannot be changed.",
                code="key-immutable",
                hint="Insert a row under the new key and delete this one.",
            )

    @staticmethod
    def _require(current: Current, revision: Any) -> None:
        if revision is not None and revision != current.rev:
            raise PreconditionFailed(
                f"`{current.id[:200]}` is at revision {current.rev}, not {str(revision)[:80]}.",
                hint="Read it again and repeat the change.",
            )

    def _returned(
        self, tx: Transaction, state: CollectionState, select: Select, ids: Sequence[str]
    ) -> list[str]:
        wanted = [i for i in ids if i]
        statement = compile_rows(select, self._info(tx, state), wanted)
        return [statement.finish(row) for row in tx.execute(statement.sql, statement.params)]

    @staticmethod
    def _info(tx: Transaction, state: CollectionState) -> TableInfo:
        """The table as it is inside this operation: fields first seen here can be asked back at once."""
        info = state.info
        rows = tx.execute("SELECT name FROM localsrv_fields WHERE collection = ?", (state.number,))
        seen = info.known_fields.union(name for (name,) in rows)
        return info if len(seen) == len(info.known_fields) else state.info_with(seen)


def register_fields(tx: Transaction, state: CollectionState, names: Iterable[str]) -> None:
    """Remembers field names never seen before in a collection.

    Raises:
        InvalidValue: one differs only by case from a name that came while this request waited.
    """
    new = set(names) - state.known_fields
    if not new:
        return
    stored = tx.execute("SELECT name FROM localsrv_fields WHERE collection = ?", (state.number,)).fetchall()
    folded = {name.casefold(): name for (name,) in stored}
    for name in new:
        if folded.get(name.casefold(), name) != name:
            raise differs_by_case(name, folded[name.casefold()])
    remember_fields(tx, state, new)


def remember_fields(tx: Transaction, state: CollectionState, new: set[str]) -> None:
    """As `register_fields`, whatever the names are: for revisions that exist already."""
    if new:
        tx.executemany(
            "INSERT OR IGNORE INTO localsrv_fields VALUES (?, ?)",
            [(state.number, name) for name in sorted(new)],
        )
        tx.after_commit(lambda: setattr(state, "known_fields", state.known_fields | new))
