"""Relations between documents: that what is referred to exists, and what happens when it goes.

Values are compared as the columns hold them, so that two spellings of one moment or decimal are one value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import orjson

from localsrv.base.errors import RelationViolation
from localsrv.model.schema import OnDelete, Relation
from localsrv.store.catalog import CollectionState
from localsrv.store.documents import Documents
from localsrv.store.driver import Connection, quoted
from localsrv.store.engine import Transaction
from localsrv.store.history import Current

Row = Mapping[str, Any]


def check_references(
    connection: Connection,
    states: Mapping[str, CollectionState],
    state: CollectionState,
    documents: Iterable[tuple[str, Row]],
) -> None:
    """Raises RelationViolation when one of the documents, `(id, document)` each, refers to none that exists.

    Null refers to nothing.
    """
    relations = state.definition.relations
    if not relations:
        return
    documents = list(documents)
    for relation in relations:
        target = states[relation.to]
        sql = f"SELECT 1 FROM {target.table} WHERE {_equal(target, relation.to_fields)} LIMIT 1"
        for values in {_values(state, i, d, relation.fields) for i, d in documents}:
            if None not in values and not connection.execute(sql, values).fetchone():
                names, shown = ", ".join(relation.fields), ", ".join(str(v)[:200] for v in values)
                raise RelationViolation(
                    f"`{state.name}` refers by {relation.name} to a document in `{relation.to}` "
                    "that does not exist.",
                    details=f'Key ({names})=({shown}) is not present in table "{relation.to}".',
                )


def _values(state: CollectionState, document_id: str, document: Row, names: Sequence[str]) -> tuple[Any, ...]:
    columns = state.columns_of(document_id, document)
    return tuple(columns[name] for name in names)


def _equal(state: CollectionState, names: Sequence[str]) -> str:
    return " AND ".join(f"{quoted(state.column_of(name))} = ?" for name in names)


def _check_not_referred(
    connection: Connection, source: CollectionState, relation: Relation, values: Sequence[Any]
) -> None:
    sql = f"SELECT 1 FROM {source.table} WHERE {_equal(source, relation.fields)} LIMIT 1"
    if connection.execute(sql, tuple(values)).fetchone():
        names, shown = ", ".join(relation.to_fields), ", ".join(str(v)[:200] for v in values)
        raise RelationViolation(
            f"`{source.name}` still refers by {relation.name} to this document in `{relation.to}`.",
            details=f'Key ({names})=({shown}) is still referenced from table "{source.name}".',
        )


class Referrers:
    """What refers to documents that change or go. All methods run inside an operation."""

    def __init__(self, documents: Documents, states: Callable[[], Mapping[str, CollectionState]]) -> None:
        self._documents = documents
        self._states = states

    def of(self, state: CollectionState) -> list[tuple[CollectionState, Relation]]:
        """Which collections refer to this one, and by which relation."""
        return [(s, r) for s in self._states().values() for r in s.definition.relations if r.to == state.name]

    def check_change(
        self, tx: Transaction, state: CollectionState, document_id: str, old: Row, new: Row
    ) -> None:
        """Raises RelationViolation when fields that others refer to changed."""
        for source, relation in self.of(state):
            before = _values(state, document_id, old, relation.to_fields)
            if before != _values(state, document_id, new, relation.to_fields) and None not in before:
                _check_not_referred(tx.connection, source, relation, before)

    def delete(self, tx: Transaction, state: CollectionState, found: Iterable[Current]) -> None:
        """Deletes documents, and does to those that refer to them what their relations say.

        Raises:
            RelationViolation: one that restricts deletion is left referring to a deleted one.
        """
        gone = list(found)
        for current in gone:
            self._documents.delete(tx, state, current)
        self.deleted(tx, state, gone)

    def deleted(self, tx: Transaction, state: CollectionState, gone: Iterable[Current]) -> None:
        """As `delete`, for documents that were deleted already."""
        # A list of what is still to be followed, since chains of documents may be long and go in circles.
        pending = [(state, current) for current in gone]
        restricting: list[tuple[CollectionState, Relation, tuple[Any, ...]]] = []
        while pending:
            target, current = pending.pop()
            for source, relation in self.of(target):
                values = _values(target, current.id, orjson.loads(current.body), relation.to_fields)
                if None in values:
                    continue
                if relation.on_delete is OnDelete.RESTRICT:
                    restricting.append((source, relation, values))
                    continue
                for one in self._referring(tx, source, relation, values):
                    if relation.on_delete is OnDelete.CASCADE:
                        self._documents.delete(tx, source, one)
                        pending.append((source, one))
                    else:
                        cut = source.shape.checked(dict.fromkeys(relation.fields), partial=True)
                        self._documents.change(tx, source, one, orjson.loads(one.body) | cut)
        for source, relation, values in restricting:
            _check_not_referred(tx.connection, source, relation, values)

    @staticmethod
    def _referring(
        tx: Transaction, source: CollectionState, relation: Relation, values: tuple[Any, ...]
    ) -> list[Current]:
        sql = f"SELECT _row, _id, _rev, _body FROM {source.table} WHERE {_equal(source, relation.fields)}"
        return [Current(*row) for row in tx.execute(sql, values).fetchall()]
