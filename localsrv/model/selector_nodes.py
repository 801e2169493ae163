"""The parts of a selector's normal form; see `selector`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

Path: TypeAlias = tuple[str, ...]
"""The steps to a value: names of fields, or places in an array as decimal numbers. () is the value itself."""


@dataclass(frozen=True, slots=True)
class Every:
    """`$and`; with no parts it holds."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """`$or`; with no parts it holds, as in CouchDB."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Neither:
    """`$nor`; only within `Elements`, elsewhere it was resolved."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Negation:
    """`$not`; outside of `Elements` only directly around a condition that has no opposite."""

    part: Node


@dataclass(frozen=True, slots=True)
class At:
    """A condition on the value at a path; it does not hold where there is none (but see `$exists`)."""

    path: Path
    condition: Node


@dataclass(frozen=True, slots=True)
class Elements:
    """`$elemMatch`, `$allMatch` (over an array's elements) or `$keyMapMatch` (over an object's names)."""

    operator: str
    part: Node


@dataclass(frozen=True, slots=True)
class Test:
    """An operator with its argument, such as `$gt` 5."""

    operator: str
    argument: Any


Node: TypeAlias = Every | Some | Neither | Negation | At | Elements | Test
