"""What every kind of source gives: tables with columns, and their rows, twice or as often as asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

Row = dict[str, Any]
"""Column name → value: None, bool, int, float, str, list, dict, `values.Opaque`."""


@dataclass(frozen=True, slots=True)
class Column:
    """`name` is unique in its table; `title` is what the file calls it (headers may repeat or be empty).

    `declared` and `default` are SQL, as the table declares them.
    """

    name: str
    title: str
    declared: str = ""
    not_null: bool = False
    default: str | None = None
    is_generated: bool = False


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """`to` is empty when the primary key is meant. `on_delete` is SQL's word."""

    columns: tuple[str, ...]
    table: str
    to: tuple[str, ...]
    on_delete: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the source. `columns` is empty where only the rows tell (JSON).

    `source` is what an export needs to give the table back; it is kept in the collection's definition.
    """

    name: str
    columns: tuple[Column, ...] = ()
    primary_key: tuple[str, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()
    indexes: tuple[tuple[str, ...], ...] = ()
    source: Mapping[str, Any] = field(default_factory=dict)


class Source(Protocol):
    """An open file. `is_textual` says that values are cells of text whose types are to be found.

    `notices` grows while it is read; they are texts for the person.
    """

    format: str
    is_textual: bool
    tables: tuple[Table, ...]
    notices: list[str]

    def rows(self, table: Table, *, with_blobs: bool = True) -> Iterator[tuple[int, Row]]:
        """Each row with its place: the line of a text file, the number of a row. Bounded memory.

        Without blobs, each is an empty one: enough to learn the types.

        Raises:
            BadRequest, StorageError: the file cannot be read as what it is; `details` names the place.
        """
        ...

    def close(self) -> None: ...
