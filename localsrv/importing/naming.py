"""Names of a file as names of the store: tables → collection ids, columns → field names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from localsrv.base.errors import BadRequest, Conflict
from localsrv.model.schema import COLLECTION_ID

LONGEST_COLLECTION = 63
LONGEST_FIELD = 255
_RESERVED = ("localsrv_", "sqlite_")
_UNSAFE = re.compile("[\0\ud800-\udfff]")


def collection_id(table: str) -> str:
    """`Order Details` → `order_details`: lowercased, other characters `_`, `t_` where a letter must stand."""
    name = re.sub(r"[^a-z0-9_]", "_", table.lower())
    if not name[:1].isascii() or not name[:1].isalpha() or name.startswith(_RESERVED):
        name = f"t_{name}"
    return name[:LONGEST_COLLECTION]


def collection_ids(tables: Iterable[str], renamed: Mapping[str, str]) -> dict[str, str]:
    """Table → collection id; `renamed` has what the person chose.

    Raises:
        BadRequest: a chosen name is not an id, or names no table.
        Conflict: two tables would be one collection; the message names both.
    """
    tables = list(tables)
    for table, chosen in renamed.items():
        if table not in tables:
            known = ", ".join(f"`{t}`" for t in tables)
            raise BadRequest(
                f"There is no table `{table}`.", code="unknown-table", hint=f"There are {known}."
            )
        if not COLLECTION_ID.match(chosen) or chosen.startswith(_RESERVED):
            raise BadRequest(
                f"`{chosen}` cannot be a collection's name.",
                code="bad-collection-name",
                hint="Use a-z, 0-9 and _, starting with a letter, at most 63.",
            )
    ids: dict[str, str] = {}
    owner: dict[str, str] = {}
    for table in tables:
        name = renamed.get(table) or collection_id(table)
        if other := owner.get(name):
            raise Conflict(
                f"The tables `{other}` and `{table}` would both become the collection `{name}`.",
                code="name-collision",
                details=name,
                hint=f"Give one another name: --rename '{table}={name[:60]}_2'",
            )
        owner[name] = table
        ids[table] = name
    return ids


def field_names(columns: Iterable[str], *, avoid: Iterable[str] = ()) -> dict[str, str]:
    """Column → field name. Names stay as they are, unless the store cannot have them.

    Changed are: a leading `_` (the store's own names), the empty name, NUL and lone surrogates, names over
    255 characters, names in `avoid`, and names that differ from an earlier one only by case.
    """
    columns = list(columns)
    fields: dict[str, str] = {}
    taken: set[str] = set()
    refused = frozenset(avoid)
    # Names that can stay come first, so that `_name` makes way for `name` wherever it stands.
    for column in sorted(columns, key=lambda c: _cleaned(c, 0) != c):
        wanted = _cleaned(column, columns.index(column) + 1)
        field, count = wanted, 1
        while field.casefold() in taken or field in refused:
            count += 1
            field = f"{wanted[: LONGEST_FIELD - 8]}_{count}"
        taken.add(field.casefold())
        fields[column] = field
    return {column: fields[column] for column in columns}


def _cleaned(column: str, number: int) -> str:
    return _UNSAFE.sub("\ufffd", column).lstrip("_")[:LONGEST_FIELD] or f"column_{number}"
