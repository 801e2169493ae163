"""What the running store knows of each collection: its definition, its SQL, its counts.

A `CollectionState` is made from the file when it opens and replaced as a whole when a definition changes;
only the writer thread changes its counters and known fields, after COMMIT.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import orjson

from localsrv.base.errors import InvalidValue
from localsrv.model.moments import SORTABLE, sortable
from localsrv.model.schema import Collection, FieldType
from localsrv.model.schema_parse import parse_collection
from localsrv.store.driver import Connection, quoted
from localsrv.store.query_table import TableInfo
from localsrv.store.shape import Shape, fields_getter

COLUMN_TYPE: Mapping[FieldType, str] = {
    FieldType.TEXT: "TEXT",
    FieldType.INTEGER: "INTEGER",
    FieldType.NUMBER: "REAL",
    FieldType.DECIMAL: "NUMERIC",
    FieldType.BOOLEAN: "BOOLEAN",
    FieldType.DATE: "TEXT",
    FieldType.TIME: "TEXT",
    FieldType.TIMESTAMP: "TEXT",
    FieldType.TIMESTAMPTZ: "TEXT",
    FieldType.UUID: "TEXT",
    FieldType.JSON: "TEXT",
}

DESIGN = "_design/"
"""How the ids of design documents begin."""

REVS_LIMIT = 1000
"""Revisions kept on each branch of a tree unless set (CouchDB's `_revs_limit`)."""

BEGIN = "begin"
"""The setting of a database that a client made: the newest sequence number of the file at that time."""

_HIDDEN = "localsrv_design_"

_SCALARS = frozenset({str, int, float, bool, type(None)})


def is_design(document_id: object) -> bool:
    """Whether an id, which may be anything that a client sent, is a design document's."""
    return isinstance(document_id, str) and document_id.startswith(DESIGN)


class CollectionState:
    """One collection of one open file."""

    def __init__(self, number: int, definition: Collection, seen_fields: frozenset[str]) -> None:
        self.number = number
        self.definition = definition
        self.name = definition.name
        self.table = quoted(definition.name)
        self.identity: tuple[str, ...] = definition.key or ("id",)
        self.columns = definition.field_names
        self.declared = frozenset(self.columns)
        self.known_fields = self.declared | seen_fields
        self.documents = 0
        self.tombstones = 0
        # These two are true as soon as an operation that may still be rolled back makes them so: others of
        # its group must not believe that there is nothing to look for.
        self.has_tombstones = False
        self.has_attachments = False
        self.design: CollectionState | None = None
        """The hidden collection of its design documents, once there was one."""
        self.settings: Mapping[str, Any] = {}
        d = definition
        self.is_free = not (d.key or d.unique or d.relations or d.strict or d.fields or d.json_schema)
        """Whether the definition says nothing of what a document must be."""
        self.revs_limit = REVS_LIMIT
        self._all_columns = fields_getter(self.columns)
        self._moments = tuple((i, f.type) for i, f in enumerate(definition.fields) if f.type in SORTABLE)
        names = "".join(f", {quoted(c)}" for c in self.columns)
        marks = ", ?" * len(self.columns)
        sets = "".join(f", {quoted(c)} = ?" for c in self.columns)
        self.insert_sql = (
            f"INSERT INTO {self.table} (_id, _rev, _seq, _body{names}) VALUES (?, ?, ?, ?{marks})"
        )
        self.update_sql = f"UPDATE {self.table} SET _rev = ?, _seq = ?, _body = ?{sets} WHERE _row = ?"
        self.get_sql = f"SELECT _body, _rev FROM {self.table} WHERE _id = ?"
        self._info: TableInfo | None = None

    def home(self, document_id: str) -> CollectionState | None:
        """Where a document of this id lies: here, or with the design documents (None while there is none)."""
        return self.design if is_design(document_id) else self

    @property
    def parts(self) -> tuple[CollectionState, ...]:
        """Itself, and its design documents if there are any."""
        return (self,) if self.design is None else (self, self.design)

    @property
    def info(self) -> TableInfo:
        """What the query compiler needs to know of the table."""
        if self._info is None or self._info.known_fields is not self.known_fields:
            self._info = self.info_with(self.known_fields)
        return self._info

    def info_with(self, known_fields: frozenset[str]) -> TableInfo:
        """As `info`, with other known fields."""
        full_text = self.definition.full_text
        return TableInfo(
            name=self.name,
            identity=self.identity,
            fields={f.name: f.type for f in self.definition.fields},
            known_fields=known_fields,
            full_text=dict(full_text.weights) if full_text else {},
        )

    @cached_property
    def shape(self) -> Shape:
        """What one document of the collection must look like by itself."""
        return Shape(self.definition, lambda: self.known_fields)

    def column_of(self, field: str) -> str:
        """The column of a field or of `id`."""
        return "_id" if field == "id" and not self.definition.key else field

    def columns_of(self, document_id: str, document: Mapping[str, Any]) -> dict[str, Any]:
        """What the columns hold of a document, by field; `id` too where that is its identity."""
        values = dict(zip(self.columns, self.safe_column_values(document), strict=True))
        if not self.definition.key:
            values["id"] = document_id
        return values

    def column_values(self, document: Mapping[str, Any]) -> Sequence[Any]:
        """The declared fields' column values, in column order; see docs/data-model.md."""
        if not self.columns:
            return ()
        try:
            values: Sequence[Any] = self._all_columns(document)
        except KeyError:
            values = [document.get(name) for name in self.columns]
        if not _SCALARS.issuperset(map(type, values)):
            values = [v if type(v) in _SCALARS else orjson.dumps(v).decode() for v in values]
        if not self._moments:
            return values
        values = list(values)
        for i, kind in self._moments:
            value = values[i]
            if isinstance(value, str):
                values[i] = sortable(kind, value)
        return values

    def safe_column_values(self, document: Mapping[str, Any]) -> list[Any]:
        """As `column_values`, for bodies nobody checked: integers SQLite cannot hold become text."""
        return [
            str(v) if isinstance(v, int) and not -(2**63) <= v < 2**63 else v
            for v in self.column_values(document)
        ]


def load(connection: Connection) -> dict[str, CollectionState]:
    """All collections of a file, with their counts. Hidden ones are the `design` of theirs."""
    states: dict[str, CollectionState] = {}
    hidden: dict[int, CollectionState] = {}
    rows = connection.execute(
        "SELECT number, name, definition FROM localsrv_collections ORDER BY number"
    ).fetchall()
    for number, name, definition in rows:
        if name.startswith(_HIDDEN):
            hidden[int(name.removeprefix(_HIDDEN))] = load_one(connection, number, Collection(name))
        else:
            parsed = parse_collection(name, json.loads(definition), couch_name=True)
            states[name] = load_one(connection, number, parsed)
    for state in states.values():
        state.design = hidden.get(state.number)
    return states


def load_one(connection: Connection, number: int, definition: Collection) -> CollectionState:
    """One collection with its counts and settings, without its design documents."""
    seen = connection.execute("SELECT name FROM localsrv_fields WHERE collection = ?", (number,)).fetchall()
    state = CollectionState(number, definition, frozenset(name for (name,) in seen))
    state.documents = _one(connection, f"SELECT count(*) FROM {state.table}")
    state.tombstones = _one(
        connection, "SELECT count(*) FROM localsrv_tombstones WHERE collection = ?", number
    )
    state.has_tombstones = state.tombstones > 0
    state.has_attachments = bool(
        _one(connection, "SELECT EXISTS (SELECT 1 FROM localsrv_attachments WHERE collection = ?)", number)
    )
    settings = connection.execute("SELECT key, value FROM localsrv_settings WHERE collection = ?", (number,))
    state.settings = {key: orjson.loads(value) for key, value in settings}
    return state


def hidden_name(state: CollectionState) -> str:
    """The name of the collection of a collection's design documents."""
    return f"{_HIDDEN}{state.number}"


def all_parts(states: Iterable[CollectionState]) -> list[CollectionState]:
    """The collections and their hidden ones."""
    return [part for state in states for part in state.parts]


def last_seq(connection: Connection, states: Mapping[str, CollectionState]) -> int:
    """The highest sequence number ever given in this file."""
    highest = _one(
        connection,
        "SELECT max((SELECT coalesce(max(seq), 0) FROM localsrv_times),"
        " (SELECT CAST(value AS INTEGER) FROM localsrv_meta WHERE key = 'seq_floor'))",
    )
    return max([highest, *(newest_change(connection, part) for part in all_parts(states.values()))])


def newest_change(connection: Connection, state: CollectionState) -> int:
    """The number of a collection's latest change, without its design documents; 0 while there is none."""
    return max(
        _one(connection, f"SELECT coalesce(max(_seq), 0) FROM {state.table}"),
        _one(
            connection,
            "SELECT coalesce(max(seq), 0) FROM localsrv_tombstones WHERE collection = ?",
            state.number,
        ),
    )


def _one(connection: Connection, sql: str, *parameters: object) -> int:
    return int(connection.execute(sql, parameters).fetchone()[0])


def home_of(state: CollectionState, document_id: str) -> CollectionState:
    """Where a document is to be written. The collection of design documents was made before."""
    home = state.home(document_id)
    assert home is not None
    return home


def body_text(document: Mapping[str, Any]) -> str:
    """A document as it is stored: compact JSON in the order the client wrote it. Raises InvalidValue."""
    try:
        return orjson.dumps(document).decode()
    except orjson.JSONEncodeError as error:
        raise _not_json(error) from error


def canonical(document: Mapping[str, Any]) -> bytes:
    """A document as it is hashed: compact JSON with sorted keys. Raises InvalidValue."""
    try:
        return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        raise _not_json(error) from error


def _not_json(error: orjson.JSONEncodeError) -> InvalidValue:
    """Why a document cannot be written as JSON; what other stores hand over was not looked at before."""
    return InvalidValue(
        "The document nests too deep, or holds what is no JSON.", code="invalid-json", details=str(error)
    )


def identity_of(key: Sequence[str], document: Mapping[str, Any]) -> str:
    """The `_id` that a document's key fields give: decimal or text of one, JSON array of several."""
    if len(key) == 1:
        value = document[key[0]]
        return value if isinstance(value, str) else orjson.dumps(value).decode()
    return orjson.dumps([document[k] for k in key]).decode()
