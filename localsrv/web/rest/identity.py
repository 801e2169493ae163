"""Requests for one row by its identity: `?id=eq.7`, or the declared key's fields.

They are the commonest requests of all, so they are recognised before a query is parsed.
"""

from __future__ import annotations

import re

import orjson

from localsrv.model.schema import FieldType
from localsrv.store.query_table import TableInfo

Pairs = list[tuple[str, str]]

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,18})\Z")
_NAMES = re.compile(r"[A-Za-z_][A-Za-z0-9_ ]*(?:,[A-Za-z_][A-Za-z0-9_ ]*)*\Z")


def identity_of_pairs(pairs: Pairs, table: TableInfo) -> tuple[str, str] | None:
    """`(_id, select)` when the parameters name one row by its whole identity and nothing else but `select`.

    None otherwise, and for keys whose literal may be spelt in several ways: those are ordinary queries.
    """
    select = "*"
    values: dict[str, str] = {}
    for name, value in pairs:
        if name == "select":
            select = value
        elif value.startswith("eq.") and name in table.identity and name not in values:
            values[name] = value[3:]
        else:
            return None
    if len(values) != len(table.identity):
        return None
    return _document_id(values, table), select


def _document_id(values: dict[str, str], table: TableInfo) -> str:
    """The `_id` of key literals; a literal that cannot be a key gives an id that no document has."""
    if len(table.identity) == 1:
        return values[table.identity[0]]
    parts: list[str | int] = []
    for name in table.identity:
        text = values[name]
        is_integer = table.fields[name] is FieldType.INTEGER and _INTEGER.match(text) is not None
        parts.append(int(text) if is_integer else text)
    return orjson.dumps(parts).decode() if all(_fits(p) for p in parts) else ""


def _fits(part: str | int) -> bool:
    return isinstance(part, str) or -(2**63) <= part < 2**63


def plain_columns(select: str, table: TableInfo) -> tuple[str, ...] | None:
    """The names in a `select` of bare, existing columns; None when it asks for anything more."""
    if _NAMES.match(select) is None:
        return None
    names = tuple(name.strip() for name in select.split(","))
    known = table.known_fields
    if all(name in known or (name == "id" and not table.is_keyed) or name == "_rev" for name in names):
        return names
    return None
