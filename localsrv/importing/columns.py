"""The columns of a collection as a file gets them: the original ones first, then what was added since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from localsrv.importing.profiles import Profile, TableProfile
from localsrv.model.schema import Collection, FieldType

ID = "_id"


@dataclass(frozen=True, slots=True)
class ExportColumn:
    """`field` is the document's field (`_id` for the identity); `declared` the SQL type, None to choose one.

    `fraction` and `true` are how a CSV file spelled decimals and booleans.
    """

    title: str
    field: str
    declared: str | None = None
    is_generated: bool = False
    fraction: int | None = None
    true: str | None = None


_SQL_TYPES = {
    FieldType.TEXT: "TEXT",
    FieldType.INTEGER: "INTEGER",
    FieldType.NUMBER: "REAL",
    FieldType.DECIMAL: "DECIMAL",
    FieldType.BOOLEAN: "BOOLEAN",
    FieldType.DATE: "DATE",
    FieldType.TIME: "TIME",
    FieldType.TIMESTAMP: "DATETIME",
    FieldType.TIMESTAMPTZ: "TIMESTAMP",
    FieldType.UUID: "TEXT",
    FieldType.JSON: "",
}
_TEXTS = frozenset(
    {FieldType.TEXT, FieldType.DATE, FieldType.TIME, FieldType.TIMESTAMP, FieldType.TIMESTAMPTZ}
)


def source_of(collection: Collection) -> Mapping[str, Any]:
    """What the import left; empty for collections that were not imported."""
    source = collection.source
    return source if isinstance(source, dict) and isinstance(source.get("columns"), list) else {}


def export_columns(collection: Collection, profile: TableProfile) -> list[ExportColumn]:
    """All columns, each field once.

    A collection without a key that was not imported begins with `id`; a table that was imported without a
    key had no such column and gets none.
    """
    source = source_of(collection)
    columns = [_described(c) for c in source.get("columns", []) if isinstance(c, dict)]
    if not columns and not collection.key:
        columns.append(ExportColumn("id", ID, "TEXT"))
    known = {c.field for c in columns}
    for name in (*collection.field_names, *profile.columns):
        if name not in known:
            known.add(name)
            columns.append(ExportColumn(name, name))
    return columns


def _described(entry: Mapping[str, Any]) -> ExportColumn:
    field = str(entry.get("field", ""))
    declared, fraction, true = entry.get("type"), entry.get("fraction"), entry.get("true")
    return ExportColumn(
        title=str(entry.get("name", field)),
        field=field,
        declared=declared if isinstance(declared, str) else None,
        is_generated=bool(entry.get("generated")),
        fraction=fraction if isinstance(fraction, int) and 0 <= fraction <= 100 else None,
        true=true if isinstance(true, str) else None,
    )


def titles(collection: Collection, columns: list[ExportColumn], family: str) -> list[str]:
    """What the columns are called in a file of `family` (`sqlite`, `delimited`, `json`).

    Their original names where the kind of file is the same or the names were a database's; a CSV header may
    repeat names, so its names go to CSV alone.
    """
    had = str(source_of(collection).get("format", ""))
    before = {"csv": "delimited", "tsv": "delimited", "ndjson": "json"}.get(had, had)
    return [c.title if before in (family, "sqlite") else "id" if c.field == ID else c.field for c in columns]


def sql_type(collection: Collection, column: ExportColumn, profile: Profile | None) -> str:
    """The declared type of a column that has none: the field's, if its affinity changes no value."""
    if column.declared is not None:
        return column.declared
    field = collection.field_named(column.field)
    if field is None:
        return ""
    if profile is not None and profile.scalars and not _is_kept(field.type, profile):
        return ""
    return _SQL_TYPES[field.type]


def _is_kept(kind: FieldType, profile: Profile) -> bool:
    if kind in _TEXTS or kind is FieldType.UUID:
        return profile.texts == profile.scalars
    if kind is FieldType.BOOLEAN:
        return profile.booleans == profile.scalars
    if kind is FieldType.INTEGER:
        return profile.integers == profile.scalars
    if kind is FieldType.NUMBER:
        return profile.reals == profile.scalars
    # NUMERIC affinity makes 2.0 the integer 2, which is the same decimal.
    return kind is FieldType.DECIMAL and profile.integers + profile.reals == profile.scalars
