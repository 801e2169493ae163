"""What a collection declares: fields, key, relations, indexes, full text, uniqueness, policy.

Pure values. A manifest (`app.toml`), the admin API and an import all produce a `Collection` (`schema_parse`);
the store turns it into a table, the data face into columns.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

COLLECTION_ID = re.compile(r"[a-z][a-z0-9_]{0,62}\Z")
"""What the data face and manifests accept. Names starting with `localsrv_` or `sqlite_` are refused."""

COUCH_NAME = re.compile(r"[a-z_][a-z0-9_$()+/-]{0,200}\Z")

MAX_FIELDS = 1900
"""Most declared fields: SQLite's tables have at most 2,000 columns."""

APP_ID = re.compile(r"[a-z][a-z0-9-]{0,40}\Z")


class FieldType(StrEnum):
    """Declared type of a field. The names are PostgreSQL's where it has one."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATE = "date"
    TIME = "time"
    TIMESTAMP = "timestamp"
    TIMESTAMPTZ = "timestamptz"
    UUID = "uuid"
    JSON = "json"


TYPE_ALIASES: Mapping[str, FieldType] = MappingProxyType(
    {
        **{t.value: t for t in FieldType},
        "string": FieldType.TEXT,
        "varchar": FieldType.TEXT,
        "int": FieldType.INTEGER,
        "bigint": FieldType.INTEGER,
        "smallint": FieldType.INTEGER,
        "real": FieldType.NUMBER,
        "float": FieldType.NUMBER,
        "double": FieldType.NUMBER,
        "numeric": FieldType.DECIMAL,
        "bool": FieldType.BOOLEAN,
        "datetime": FieldType.TIMESTAMP,
        "jsonb": FieldType.JSON,
        "object": FieldType.JSON,
        "array": FieldType.JSON,
    }
)


MOMENTS = (FieldType.TIMESTAMPTZ, FieldType.TIMESTAMP, FieldType.DATE, FieldType.INTEGER, FieldType.NUMBER)
"""Types of fields that can say which of two versions is the later: a time, or a number such as Unix time."""


class ConflictPolicy(StrEnum):
    """How the sync face settles conflicting leaves. `keep` is CouchDB's way."""

    KEEP = "keep"
    MERGE = "merge"
    LATEST = "latest"


class OnDelete(StrEnum):
    """What a local delete of a related document does."""

    RESTRICT = "restrict"
    CASCADE = "cascade"
    SET_NULL = "set-null"


@dataclass(frozen=True, slots=True)
class Field:
    """One declared field. `required` refuses null and absence on local writes.

    `default` is a JSON constant, or one of the words `now`, `uuid` behind `default_call`.
    """

    name: str
    type: FieldType = FieldType.TEXT
    required: bool = False
    default: Any = None
    default_call: str | None = None


@dataclass(frozen=True, slots=True)
class Relation:
    """`fields` of this collection refer to `to_fields` (its key or unique fields) of collection `to`."""

    name: str
    fields: tuple[str, ...]
    to: str
    to_fields: tuple[str, ...]
    on_delete: OnDelete = OnDelete.RESTRICT


@dataclass(frozen=True, slots=True)
class FullText:
    """Full-text fields with their ranking weights; `prefix` lists prefix-index lengths."""

    weights: Mapping[str, float] = field(default_factory=dict)
    prefix: tuple[int, ...] = (2, 3)


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection's definition. Field order is column order.

    `strict` refuses undeclared fields on local writes. `source` is free JSON that an import keeps for
    export (original table and column names); nothing else reads it.
    """

    name: str
    title: str | None = None
    fields: tuple[Field, ...] = ()
    key: tuple[str, ...] = ()
    indexes: tuple[tuple[str, ...], ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()
    relations: tuple[Relation, ...] = ()
    full_text: FullText | None = None
    json_schema: Mapping[str, Any] | None = None
    strict: bool = False
    conflict: ConflictPolicy = ConflictPolicy.KEEP
    latest_field: str | None = None
    source: Mapping[str, Any] | None = None

    def field_named(self, name: str) -> Field | None:
        return next((f for f in self.fields if f.name == name), None)

    @property
    def field_names(self) -> tuple[str, ...]:
        return tuple(f.name for f in self.fields)
