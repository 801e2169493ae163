"""Which declared type a column gets: SQLite's affinity of what it declares, corrected by what it holds.

The type is one that every value fits. A column declared INTEGER that holds some text is `json`, which any
value fits; dates are dates only if every value is one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from localsrv.importing.profiles import Profile
from localsrv.importing.shapes import TESTS, is_exact
from localsrv.model.schema import FieldType

Convert = Callable[[Any], Any]

_MOMENTS = ("date", "time", "timestamp", "timestamptz")
_WORDS: tuple[tuple[str, FieldType], ...] = (
    ("BOOL", FieldType.BOOLEAN),
    ("DATETIME", FieldType.TIMESTAMP),
    ("TIMESTAMP", FieldType.TIMESTAMP),
    ("DATE", FieldType.DATE),
    ("TIME", FieldType.TIME),
    ("UUID", FieldType.UUID),
    ("GUID", FieldType.UUID),
    ("UNIQUEIDENTIFIER", FieldType.UUID),
    ("JSON", FieldType.JSON),
    ("DEC", FieldType.DECIMAL),
    ("NUMERIC", FieldType.DECIMAL),
    ("NUMBER", FieldType.DECIMAL),
    ("MONEY", FieldType.DECIMAL),
)


def declared_type(declared: str) -> FieldType | None:
    """What a column's SQL type means by itself; None for BLOB and for no type.

    SQLite has five affinities; words that it takes for NUMERIC (DATE, BOOLEAN, DECIMAL) say more to people.
    """
    name = re.sub(r"\(.*", "", declared).upper()
    for word, kind in _WORDS:
        if word in name:
            return kind
    if "INT" in name:
        return FieldType.INTEGER
    if any(word in name for word in ("CHAR", "CLOB", "TEXT", "STRING")):
        return FieldType.TEXT
    if "BLOB" in name or not name.strip():
        return None
    if any(word in name for word in ("REAL", "FLOA", "DOUB")):
        return FieldType.NUMBER
    return FieldType.DECIMAL


def stored_type(profile: Profile, declared: str, *, is_json: bool = False) -> FieldType | None:
    """The type of a column with typed values; None if it holds attachments alone.

    JSON declares nothing, so there the texts alone show dates and UUIDs.
    """
    says = declared_type(declared)
    numbers = profile.integers + profile.reals + profile.big
    if not profile.scalars:
        return None if says is None and not is_json else (says or FieldType.TEXT)
    if numbers == profile.scalars:
        return _number_type(profile, says)
    if profile.texts == profile.scalars:
        if is_json:
            return _shaped(profile, ("date", "timestamp", "timestamptz", "uuid"))
        if says in (FieldType.DATE, FieldType.TIME, FieldType.TIMESTAMP):
            return _shaped(profile, _MOMENTS)
        return _shaped(profile, ("uuid",)) if says is FieldType.UUID else FieldType.TEXT
    if profile.booleans == profile.scalars:
        return FieldType.BOOLEAN
    return FieldType.JSON


def _number_type(profile: Profile, says: FieldType | None) -> FieldType:
    if profile.big or says is FieldType.DECIMAL:
        return FieldType.DECIMAL
    if says is FieldType.BOOLEAN and profile.is_boolish:
        return FieldType.BOOLEAN
    return FieldType.NUMBER if profile.reals else FieldType.INTEGER


def _shaped(profile: Profile, shapes: tuple[str, ...]) -> FieldType:
    return next((FieldType(s) for s in shapes if s in profile.shapes.left), FieldType.TEXT)


def text_type(profile: Profile, *, is_key: bool) -> FieldType:
    """The type of a column of texts (CSV). A key is a whole number or a text: its spelling is the id."""
    if not profile.texts:
        return FieldType.TEXT
    for shape in profile.shapes.left:
        if is_key and shape != "integer":
            continue
        return FieldType(shape.lower())
    return FieldType.TEXT


def boolean_spelling(profile: Profile) -> str | None:
    """How a column of texts spells `true`, if otherwise than JSON."""
    return next((TRUES[s] for s in profile.shapes.left if s in TRUES), None) if profile.texts else None


TRUES = {"Boolean": "True", "BOOLEAN": "TRUE"}


def _number(text: str) -> int | float | str:
    """A number as JSON has it, or the text if a double would change it."""
    if TESTS["integer"](text):
        return int(text)
    return float(text) if is_exact(text) else text


def _same(value: Any) -> Any:
    return value


def converter(kind: FieldType, *, is_textual: bool) -> Convert:
    """How a value of the source becomes one of the document."""
    if not is_textual:
        return bool if kind is FieldType.BOOLEAN else _same
    if kind is FieldType.INTEGER:
        return int
    if kind in (FieldType.DECIMAL, FieldType.NUMBER):
        return _number
    if kind is FieldType.BOOLEAN:
        return lambda text: text.lower() == "true"
    return _same
