"""DEFAULT clauses of SQL as defaults of fields, where they are constants or the time."""

from __future__ import annotations

import re
from typing import Any

from localsrv.importing.shapes import is_date, is_exact, is_integer, is_timestamp
from localsrv.model.schema import FieldType

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?\Z")


def default_of(sql: str | None, kind: FieldType) -> tuple[Any, str | None]:
    """(constant, call) for a column of type `kind`; (None, None) where SQL's default is not one of ours.

    The export keeps the table's own SQL, so none is lost.
    """
    if sql is None:
        return None, None
    text = sql.strip()
    while text.startswith("(") and text.endswith(")"):
        text = text[1:-1].strip()
    if text.upper() == "CURRENT_TIMESTAMP" and kind in (FieldType.TIMESTAMP, FieldType.TIMESTAMPTZ):
        return None, "now"
    value = _literal(text)
    return (value, None) if _fits(value, kind) else (_converted(value, kind), None)


def _literal(text: str) -> Any:
    if _NUMBER.match(text):
        if is_integer(text):
            return int(text)
        return float(text) if "." in text and is_exact(text) else None
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1].replace(text[0] * 2, text[0])
    return {"TRUE": True, "FALSE": False}.get(text.upper())


def _fits(value: Any, kind: FieldType) -> bool:
    if isinstance(value, bool):
        return kind is FieldType.BOOLEAN
    if isinstance(value, int):
        return kind in (FieldType.INTEGER, FieldType.NUMBER, FieldType.DECIMAL)
    if isinstance(value, float):
        return kind in (FieldType.NUMBER, FieldType.DECIMAL)
    if isinstance(value, str):
        if kind is FieldType.DATE:
            return is_date(value)
        return is_timestamp(value) if kind is FieldType.TIMESTAMP else kind is FieldType.TEXT
    return False


def _converted(value: Any, kind: FieldType) -> Any:
    """What SQLite's affinity would make of it."""
    if kind is FieldType.BOOLEAN and value in (0, 1):
        return bool(value)
    if isinstance(value, str) and kind in (FieldType.INTEGER, FieldType.DECIMAL) and is_integer(value):
        return int(value)
    if kind is FieldType.TEXT and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None
