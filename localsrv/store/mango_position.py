"""Places in a result: where a page ended, as SQL that goes on behind it and as the bookmark of an answer."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from localsrv.model.mango_order import OrderKey, order_key
from localsrv.model.mango_request import invalid_bookmark
from localsrv.store.mango_values import (
    ARRAYS,
    END,
    LOWEST_NUMBER,
    OBJECTS,
    SqlKey,
    span_of,
    value_of,
)


class Term(NamedTuple):
    """A comparison of a column or expression with a key."""

    column: str
    sign: str
    bound: SqlKey


@dataclass(frozen=True, slots=True)
class Position:
    """A document's place: the keys of the fields that order the result, then its id."""

    keys: tuple[SqlKey, ...]
    id: str

    @property
    def exact(self) -> OrderKey:
        """The place in Mango's order, also among arrays and objects."""
        return (tuple(order_key(value_of(key)) for key in self.keys), self.id)

    def bookmark(self, *, is_exact: bool) -> str:
        """The place as an opaque text for clients, with how the result is ordered that it is in."""
        keys = [{"json": key.decode()} if isinstance(key, bytes) else value_of(key) for key in self.keys]
        place = [keys, self.id, 1] if is_exact else [keys, self.id]
        return base64.urlsafe_b64encode(orjson.dumps(place)).decode().rstrip("=")


def parse_bookmark(text: str, keys: int) -> tuple[Position, bool]:
    """The place that a bookmark of a result ordered by `keys` fields names, and whether exactly ordered.

    Raises:
        MangoError: `invalid_bookmark`.
    """
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        found, document_id, *more = orjson.loads(raw)
        position = Position(tuple(map(_key, found)), document_id)
    except (binascii.Error, ValueError, TypeError, KeyError) as error:
        raise invalid_bookmark(text) from error
    if not isinstance(document_id, str) or not isinstance(found, list) or len(found) != keys:
        raise invalid_bookmark(text)
    if more not in ([], [1]):
        raise invalid_bookmark(text)
    return position, bool(more)


def _key(value: Any) -> SqlKey:
    if isinstance(value, dict):
        text: str = value["json"]
        if text[:1] not in ("[", "{"):
            raise ValueError
        orjson.loads(text)
        return text.encode()
    if value == LOWEST_NUMBER and isinstance(value, float):
        return value  # stands for all numbers that are lower
    span = span_of(value)
    if isinstance(value, list) or not span.is_exact:
        raise ValueError
    return span.low


def segments(
    keys: Sequence[str], after: Position | None, *, descending: bool, constant: int, exact: bool
) -> list[list[Term]]:
    """The terms of the searches that together give, in order, what lies behind a place.

    Each is a range of one index: `a = 1 AND b = 2 AND _id > x`, then `a = 1 AND b > 2`, then `a > 1`. The
    first `constant` keys are the same in all results. With `exact` the order among arrays and among objects
    is not that of their keys, so that a search begins with all of their kind.
    """
    if after is None:
        return [[]]
    beyond = "<" if descending else ">"
    columns = [*(f"({key})" if key not in ("_id", "_rev") else key for key in keys), "_id"]
    bounds: list[SqlKey] = [*after.keys, after.id]
    bands = [place for place, key in enumerate(after.keys) if exact and isinstance(key, bytes)]
    found: list[list[Term]] = []
    for place in range(bands[0] if bands else len(keys), constant - 1, -1):
        equal = [Term(columns[i], "=", bounds[i]) for i in range(place)]
        column, bound = columns[place], bounds[place]
        if bands[:1] == [place] and isinstance(bound, bytes):
            low, high = band_of(bound)
            found.append([*equal, Term(column, ">=", low), Term(column, "<", high)])
            found.append([*equal, Term(column, "<", low) if descending else Term(column, ">=", high)])
        else:
            found.append([*equal, Term(column, beyond, bound)])
    return found


def band_of(key: bytes) -> tuple[bytes, bytes]:
    """The keys between which those of all arrays lie, or of all objects."""
    return (ARRAYS, OBJECTS) if key[:1] == ARRAYS else (OBJECTS, END)
