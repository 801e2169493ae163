"""Local rules: what a collection demands of writes made here.

They are checked in the writer, inside the operation, and are no SQLite constraints: a revision that a
peer already accepted is stored whatever it says, and `violations` lists it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import orjson

from localsrv.base.errors import InvalidValue, SchemaViolation, UniqueViolation
from localsrv.store.catalog import CollectionState, identity_of
from localsrv.store.driver import Connection, quoted


@dataclass(frozen=True, slots=True)
class Violation:
    """A stored document that breaks a rule. `kind` is `key`, `unique`, `relation`, `schema` or `required`."""

    id: str
    kind: str
    message: str


def _columns(state: CollectionState, names: Sequence[str]) -> list[str]:
    return [quoted(state.column_of(name)) for name in names]


def check_unique(connection: Connection, state: CollectionState, ids: Iterable[str]) -> None:
    """Raises UniqueViolation when a document of `ids` shares a unique value with another document."""
    if not state.definition.unique:
        return
    statements = [(group, _unique_sql(state, group)) for group in state.definition.unique]
    for document_id in ids:
        for group, sql in statements:
            found = connection.execute(sql, (document_id,)).fetchone()
            if found:
                names = ", ".join(group)
                values = ", ".join(str(v)[:200] for v in found)
                raise UniqueViolation(
                    f"`{names}` must be unique in `{state.name}`.",
                    details=f"Key ({names})=({values}) already exists.",
                )


def _unique_sql(state: CollectionState, group: Sequence[str]) -> str:
    columns = _columns(state, group)
    same = " AND ".join(f"other.{c} = mine.{c}" for c in columns)
    return (
        f"SELECT {', '.join(f'mine.{c}' for c in columns)} FROM {state.table} AS mine"
        f" WHERE mine._id = ? AND EXISTS"
        f" (SELECT 1 FROM {state.table} AS other WHERE {same} AND other._row <> mine._row)"
    )


def violations(
    connection: Connection, states: Mapping[str, CollectionState], state: CollectionState, limit: int
) -> Iterator[Violation]:
    """Lists up to `limit` stored documents of a collection that break a rule."""
    left = limit
    for found in _all_violations(connection, states, state):
        if left == 0:
            return
        left -= 1
        yield found


def _all_violations(
    connection: Connection, states: Mapping[str, CollectionState], state: CollectionState
) -> Iterator[Violation]:
    for group in state.definition.unique:
        names = ", ".join(group)
        columns = _columns(state, group)
        same = " AND ".join(f"other.{c} = mine.{c}" for c in columns)
        for (document_id,) in connection.execute(
            f"SELECT mine._id FROM {state.table} AS mine WHERE EXISTS"
            f" (SELECT 1 FROM {state.table} AS other WHERE {same} AND other._row <> mine._row)"
            " ORDER BY mine._row"
        ):
            yield Violation(document_id, "unique", f"`{names}` is not unique.")
    for relation in state.definition.relations:
        target = states[relation.to]
        pairs = list(zip(_columns(state, relation.fields), _columns(target, relation.to_fields), strict=True))
        there = " AND ".join(f"theirs.{b} = mine.{a}" for a, b in pairs)
        given = " AND ".join(f"mine.{a} IS NOT NULL" for a, _ in pairs)
        for (document_id,) in connection.execute(
            f"SELECT mine._id FROM {state.table} AS mine WHERE {given} AND NOT EXISTS"
            f" (SELECT 1 FROM {target.table} AS theirs WHERE {there}) ORDER BY mine._row"
        ):
            yield Violation(
                document_id, "relation", f"{relation.name}: there is no such document in `{relation.to}`."
            )
    yield from _misfits(connection, state)


def _misfits(connection: Connection, state: CollectionState) -> Iterator[Violation]:
    """Documents that break a rule by themselves. Each is read, since no column says it."""
    definition = state.definition
    key = definition.key
    must_fit = (
        definition.json_schema is not None or any(f.required for f in definition.fields) or definition.strict
    )
    if not key and not must_fit:
        return
    shape = state.shape
    for document_id, body in connection.execute(f"SELECT _id, _body FROM {state.table} ORDER BY _row"):
        document = orjson.loads(body)
        if key and (not document.keys() >= set(key) or identity_of(key, document) != document_id):
            yield Violation(document_id, "key", f"The id is not what `{', '.join(key)}` says.")
        try:
            if must_fit:
                shape.checked(document)
        except (SchemaViolation, InvalidValue) as error:
            yield Violation(
                document_id, "required" if error.code == "required-field" else "schema", error.message
            )
