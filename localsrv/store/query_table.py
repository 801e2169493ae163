"""What the query compiler knows of a table: names and types, nothing of the connection."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from localsrv.base.errors import UnknownName
from localsrv.model.schema import FieldType

if TYPE_CHECKING:
    from localsrv.model.query import Shape
    from localsrv.store.query_sql import Template

SYSTEM_COLUMNS = ("_id", "_rev")
"""Columns of every table that a query may name. They are not part of `*`."""

SEARCH_COLUMN = "_text"
"""The name that a full-text filter uses for the collection's whole index."""

RANK_COLUMN = "_rank"
"""The name that `order` uses for the relevance of a full-text match, best first."""


def full_text_table(collection: str) -> str:
    """The name of a collection's search index.

    FTS5 keeps tables of its own beside it (`…_data`, `…_idx`, `…_docsize`, `…_config`): with the suffix none
    of them can be the index of another collection.
    """
    return f"localsrv_{collection}_fts"


@dataclass(frozen=True, eq=False, slots=True)
class TableInfo:
    """One collection as a table. Made anew when its definition or its known fields change.

    `identity` is the declared key, or `("id",)` when there is none: then `id` is the column `_id`.
    `fields` are the declared fields in order; `known_fields` are those and every other ever seen.
    `full_text` are the searchable fields with their weights. `templates` is the compiler's own memory.
    """

    name: str
    identity: tuple[str, ...]
    fields: Mapping[str, FieldType]
    known_fields: frozenset[str]
    full_text: Mapping[str, float] = field(default_factory=dict)
    templates: dict[tuple[Shape, str], Template] = field(default_factory=dict, repr=False)

    @property
    def is_keyed(self) -> bool:
        """Whether a key is declared; otherwise rows are identified by `id`."""
        return self.identity[0] in self.fields

    def unknown(self, name: str) -> UnknownName:
        """The error for a column that is neither declared nor ever seen; its hint has the nearest."""
        known = [*self.fields, *sorted(self.known_fields.difference(self.fields))]
        if not self.is_keyed:
            known.insert(0, "id")
        near = difflib.get_close_matches(name[:100], known, n=1)
        return UnknownName(
            f"column {self.name}.{name[:100]} does not exist",
            code="unknown-column",
            hint=f'Perhaps you meant to reference the column "{self.name}.{near[0]}".'
            if near
            else f"Known are: {', '.join(known[:20])}{', …' if len(known) > 20 else ''}.",
        )
