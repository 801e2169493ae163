"""Mango's indexes as SQL indexes of a collection's table.

A definition lives in a design document; its SQL index is over the keys of its fields (`mango_values`) and
`_id`, and leaves out documents that lack one of the fields, as CouchDB's does. Equal definitions share one
SQL index. Only functions that SQLite brings are used, so that other tools can read and write the file. A
partial filter that SQL cannot say exactly is stored as what SQL can say; the rest is checked when the index
is read.

A definition's SQL index is built when `_index` makes it, or before the first query that needs it: that is how
those are made that arrive by replication. It is dropped in the transaction that takes its last definition
away. SQLite cannot build an index while others write: a build holds the writer for three to six seconds per
million small documents (docs/performance.md). Each index is an operation of its own, so writes go on between
two of them; readers never wait.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from localsrv.model.mango_index import Index, indexes_of
from localsrv.store.catalog import CollectionState
from localsrv.store.driver import Connection, quoted
from localsrv.store.engine import Transaction
from localsrv.store.mango_sql import Compiler, Condition
from localsrv.store.mango_values import source_at

_NOTHING = "_id < ''"
"""A condition that never holds, and that SQLite does not resolve: INDEXED BY must find it again."""


@dataclass(frozen=True, slots=True)
class SqlIndex:
    """The SQL of an index. `keys` are those of its fields, `terms` what its WHERE says (a query repeats
    them)."""

    name: str
    keys: tuple[str, ...]
    terms: tuple[str, ...]
    filter_is_exact: bool
    table: str

    @property
    def statement(self) -> str:
        columns = [key if key in ("_id", "_rev") else f"({key})" for key in self.keys]
        if "_id" not in self.keys:
            columns.append("_id")
        where = f" WHERE {' AND '.join(self.terms)}" if self.terms else ""
        return f"CREATE INDEX IF NOT EXISTS {quoted(self.name)} ON {self.table} ({', '.join(columns)}){where}"


def sql_index(state: CollectionState, index: Index) -> SqlIndex | None:
    """The SQL of an index; None when it has a field that SQL cannot say: its queries scan the table."""
    keys = []
    for path in index.paths:
        source = None if path[0].startswith("_") and path not in (("_id",), ("_rev",)) else source_at(path)
        if source is None:
            return None
        keys.append(source.key)
    terms = [f"({key}) IS NOT NULL" for key in keys if key not in ("_id", "_rev")]
    filtered = Condition("1", True)
    if index.partial_filter is not None:
        filtered = Compiler(state.number, literals=True).condition(index.partial_filter.root)
        if filtered.sql != "1":
            terms.append(f"({_NOTHING if filtered.sql == '0' else filtered.sql})")
    digest = hashlib.sha256("\n".join((*keys, "", *terms)).encode()).hexdigest()[:20]
    return SqlIndex(f"{_prefix(state)}{digest}", tuple(keys), tuple(terms), filtered.is_exact, state.table)


def defined(connection: Connection, state: CollectionState) -> list[Index]:
    """The indexes that the collection's design documents define, in order of documents and names."""
    if state.design is None:
        return []
    rows = connection.execute(
        f"SELECT _id, _body FROM {state.design.table} WHERE json_extract(_body, '$.language') = 'query'"
        " ORDER BY _id"
    )
    return [index for design_id, body in rows for index in indexes_of(design_id, orjson.loads(body))]


def is_built(connection: Connection, name: str) -> bool:
    """Whether an SQL index exists."""
    sql = "SELECT 1 FROM sqlite_master WHERE type = 'index' AND name = ?"
    return connection.execute(sql, (name,)).fetchone() is not None


def missing(connection: Connection, state: CollectionState) -> list[str]:
    """The names of SQL indexes that are defined and not built."""
    present = _present(connection, state)
    return [name for name in _wanted(connection, state) if name not in present]


def build(tx: Transaction, state: CollectionState, name: str) -> None:
    """Makes one SQL index, unless its definition is gone by now."""
    index = _wanted(tx.connection, state).get(name)
    if index is not None:
        tx.execute(index.statement)


def drop_unused(tx: Transaction, state: CollectionState) -> None:
    """Drops the SQL indexes that no design document defines any more."""
    present = _present(tx.connection, state)
    for name in sorted(present - _wanted(tx.connection, state).keys()) if present else ():
        tx.execute(f"DROP INDEX IF EXISTS {quoted(name)}")


def _wanted(connection: Connection, state: CollectionState) -> Mapping[str, SqlIndex]:
    found = (sql_index(state, index) for index in defined(connection, state))
    return {each.name: each for each in found if each is not None}


def _present(connection: Connection, state: CollectionState) -> set[str]:
    sql = "SELECT name FROM sqlite_master WHERE type = 'index' AND substr(name, 1, ?) = ?"
    prefix = _prefix(state)
    return {name for (name,) in connection.execute(sql, (len(prefix), prefix))}


def _prefix(state: CollectionState) -> str:
    return f"mango:{state.number}:"
