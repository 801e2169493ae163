"""The plan of an import: which collection each table becomes, and how each column becomes a field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from localsrv.importing.tables import Table
from localsrv.importing.types_of import Convert
from localsrv.model.schema import Collection, FieldType
from localsrv.model.schema_json import as_json

STORE_NAMES = frozenset({"_id", "_rev", "_attachments"})
"""Names of a JSON document that mean what they mean in the store."""


@dataclass(frozen=True, slots=True)
class FieldPlan:
    """`kind` is None when the column holds attachments alone; `attachments` counts those."""

    column: str
    field: str
    kind: FieldType | None
    convert: Convert
    attachments: int = 0
    absent: int = 0
    empty: str | None = None


@dataclass(frozen=True, slots=True)
class TablePlan:
    """`identity` says where ids come from: `key` (the store makes them), `id` (`_id`), or `content`."""

    table: Table
    collection: Collection
    fields: tuple[FieldPlan, ...]
    identity: str
    rows: int

    def as_json(self) -> dict[str, Any]:
        """One entry of the mapping that a dry run shows."""
        attachments = {f.field: f.attachments for f in self.fields if f.attachments}
        return {
            "table": self.table.name,
            "collection": self.collection.name,
            "rows": self.rows,
            "identity": self.identity,
            "attachments": attachments,
            "fields": [
                {"column": f.column, "field": f.field, "type": f.kind.value if f.kind else "attachment"}
                for f in self.fields
            ],
            "definition": as_json(self.collection),
        }


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """Tables in the order to send them: referred ones first, as far as relations allow."""

    format: str
    tables: tuple[TablePlan, ...]
    notices: tuple[str, ...] = ()

    @property
    def collections(self) -> Mapping[str, Collection]:
        return {t.collection.name: t.collection for t in self.tables}

    def as_json(self) -> dict[str, Any]:
        return {
            "format": self.format,
            "collections": [t.as_json() for t in self.tables],
            "notices": list(self.notices),
        }


@dataclass(frozen=True, slots=True)
class Choices:
    """What the person says about the mapping.

    `only` keeps the tables of these collections; `key` is for the single table left; `renamed` is table →
    collection; `empty_text` reads empty cells of text columns as empty texts instead of null. `known` has the
    keys of collections that are there: a file that declares none goes by them.
    """

    only: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    empty_text: bool = False
    known: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
