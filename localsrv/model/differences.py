"""What differs between versions of a document, field by field, and three versions made into one.

Values are JSON. An object is looked into, field by field; an array, a text, a number is one value and never
half of one version and half of another. Values are the same when their canonical JSON is, so that 1 is
neither 1.0 nor true.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

Path = tuple[str, ...]
"""The names that lead to a field, outermost first."""


class Absent:
    """The value of a field that is not there; null is a value like any other."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = Absent()


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that not all versions agree on. `values` are in the order of the sides; each may be ABSENT.

    `ancestor` is ABSENT too when there is no ancestor to compare with.
    """

    path: Path
    ancestor: Any
    values: tuple[Any, ...]


def canonical(value: Any) -> bytes:
    """A JSON value as it is compared and hashed: compact, keys sorted."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def same(first: Any, second: Any) -> bool:
    """Whether two values, ABSENT among them, are the same JSON."""
    if first is ABSENT or second is ABSENT:
        return first is second
    return first is second or canonical(first) == canonical(second)


def three_way(
    ancestor: Mapping[str, Any], ours: Mapping[str, Any], theirs: Mapping[str, Any]
) -> tuple[dict[str, Any], list[Path]]:
    """`ours` with what `theirs` changed since `ancestor`, and the fields that both changed differently.

    In those ours stands. Removing a field is a change of it. Where both changed a field to objects, the
    objects are merged in turn.
    """
    merged: dict[str, Any] = {}
    decided: list[Path] = []
    for name in dict.fromkeys((*ours, *theirs)):
        value = _merged_field(
            (name,), ancestor.get(name, ABSENT), ours.get(name, ABSENT), theirs.get(name, ABSENT), decided
        )
        if value is not ABSENT:
            merged[name] = value
    return merged, decided


def _merged_field(path: Path, ancestor: Any, ours: Any, theirs: Any, decided: list[Path]) -> Any:
    if same(ours, theirs) or same(theirs, ancestor):
        return ours
    if same(ours, ancestor):
        return theirs
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        base = ancestor if isinstance(ancestor, Mapping) else {}
        inner, ties = three_way(base, ours, theirs)
        decided += [(*path, *tie) for tie in ties]
        return inner
    decided.append(path)
    return ours


def differences(ancestor: Mapping[str, Any] | None, *sides: Mapping[str, Any]) -> list[Difference]:
    """The fields that the sides do not agree on, in the order in which they first appear.

    Without an ancestor (None) every side's fields count as added.
    """
    return list(_differing((), ancestor if ancestor is not None else {}, sides))


def _differing(
    path: Path, ancestor: Mapping[str, Any], sides: tuple[Mapping[str, Any], ...]
) -> list[Difference]:
    found: list[Difference] = []
    for name in dict.fromkeys(name for side in sides for name in side):
        values = tuple(side.get(name, ABSENT) for side in sides)
        if all(same(values[0], value) for value in values[1:]):
            continue
        before = ancestor.get(name, ABSENT)
        if all(isinstance(value, Mapping) for value in values):
            found += _differing((*path, name), before if isinstance(before, Mapping) else {}, values)
        else:
            found.append(Difference((*path, name), before, values))
    return found
