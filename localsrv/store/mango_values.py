"""JSON values in SQL: an expression whose order in SQLite is Mango's, and constants to compare it with.

The *key* of a JSON value is one SQL value. SQLite orders NULL, numbers, texts, blobs; Mango null, false,
true, numbers, strings, arrays, objects. So the key of a number is itself, of a string its text, of an array
or object its JSON as a blob (`[` is lower than `{`), and null, false and true are the three lowest doubles,
below which numbers are not let (-1.79e308 stands for those under it). An absent value has no key: NULL. An
expression index on keys therefore serves equality, ranges across types and order with built-in functions
alone, so that any SQLite tool may write the file. What a key cannot say (the order among arrays or objects,
equality of `[1]` and `[1.0]`, the lowest numbers) is *inexact*: SQL then leaves candidates, and
`Selector.matches` decides.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson

from localsrv.model.selector_match import place_of
from localsrv.model.selector_nodes import Path

SqlKey: TypeAlias = int | float | str | bytes

NULL = -math.inf
FALSE = -1.7976931348623157e308
TRUE = -1.7976931348623155e308
LOWEST_NUMBER = -1.79e308
ARRAYS, OBJECTS, END = b"[", b"{", b"|"
"""Keys of arrays are from `ARRAYS` to below `OBJECTS`, where those of objects begin; `END` is behind all."""

TEXT_COLUMNS = ("_id", "_rev")

_PLAIN_STEP = re.compile(r'[^"\\\x00-\x1f]+')
_MAX_PLACE = 10**6


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value lies, as SQL: `kind` is its `json_type`, `scalar` it itself, `each` the table of its
    parts.

    `each` is None where it cannot be written. `size` is an array's length.
    """

    kind: str
    scalar: str
    each: str | None
    size: str | None

    @property
    def is_text(self) -> bool:
        """Whether it is always a text."""
        return self.kind == "'text'"

    @property
    def is_column(self) -> bool:
        """Whether it is a text column. SQLite makes a text of the number that such a one is compared with."""
        return self.scalar in TEXT_COLUMNS

    @property
    def key(self) -> str:
        """The value's key."""
        if self.is_text:
            return self.scalar
        return (
            f"CASE {self.kind} WHEN 'text' THEN {self.scalar} WHEN 'integer' THEN {self.scalar}"
            f" WHEN 'real' THEN max({self.scalar}, {LOWEST_NUMBER!r}) WHEN 'null' THEN -9e999"
            f" WHEN 'false' THEN {FALSE!r} WHEN 'true' THEN {TRUE!r}"
            f" WHEN 'array' THEN CAST({self.scalar} AS BLOB)"
            f" WHEN 'object' THEN CAST({self.scalar} AS BLOB) END"
        )


def source_at(path: Path, body: str = "_body", guard: str | None = None) -> Source | None:
    """The value at a path of a JSON text; None when SQLite's paths cannot say it.

    `guard` is a condition under which `body` is a JSON text at all.
    """
    if body == "_body" and path in (("_id",), ("_rev",)):
        return Source("'text'", path[0], None, None)
    places = _json_paths(path)
    if places is None:
        return None

    def either(function: str) -> str:
        calls = [f"{function}({body}, {place})" for place in places]
        out = calls[0] if len(calls) == 1 else f"coalesce({', '.join(calls)})"
        return out if guard is None else f"CASE WHEN {guard} THEN {out} END"

    is_simple = len(places) == 1
    each = f"json_each({body}, {places[0]})" if is_simple else None
    size = either("json_array_length") if is_simple else None
    return Source(either("json_type"), either("json_extract"), each, size)


def element(alias: str) -> Source:
    """The value of a row of `json_each`."""
    value = f"{alias}.value"
    return Source(f"{alias}.type", value, f"json_each({value})", f"json_array_length({value})")


def name_of_element(alias: str) -> Source:
    """The name of a row of `json_each` over an object."""
    return Source("'text'", f"{alias}.key", None, None)


def _json_paths(path: Path) -> list[str] | None:
    """The path in SQLite's words; two when a step may be a place in an array as well as a name."""
    found = ["$"]
    for step in path:
        if not _PLAIN_STEP.fullmatch(step):
            return None
        ways = [f'."{step}"']
        place = place_of(step)
        if place is not None:
            if place > _MAX_PLACE or len(found) > 1:
                return None
            ways.append(f"[{place}]")
        found = [have + way for way in ways for have in found]
    return [sql_text(each) for each in found]


def sql_text(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def sql_literal(value: SqlKey) -> str:
    """A key as an SQL literal."""
    if isinstance(value, str):
        return sql_text(value)
    if isinstance(value, bytes):
        return f"X'{value.hex()}'"
    return "-9e999" if value == NULL else repr(value)


@dataclass(frozen=True, slots=True)
class Span:
    """The keys that a constant's key may have: `low` to `high`, equal when it is exact."""

    low: SqlKey
    high: SqlKey

    @property
    def is_exact(self) -> bool:
        return type(self.low) is type(self.high) and self.low == self.high


def span_of(value: Any) -> Span:
    """The keys between which (both included) the key of a value equal to `value` lies."""
    if value is None:
        return Span(NULL, NULL)
    if isinstance(value, bool):
        return Span(TRUE, TRUE) if value else Span(FALSE, FALSE)
    if isinstance(value, str):
        return Span(value, value)
    if isinstance(value, list):
        return Span(ARRAYS, OBJECTS)
    if isinstance(value, dict):
        return Span(OBJECTS, END)
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return Span(value, value)
    number = _double(value)
    if number <= LOWEST_NUMBER:
        return Span(math.nextafter(LOWEST_NUMBER, -math.inf), math.nextafter(LOWEST_NUMBER, 0.0))
    if isinstance(value, int):  # SQLite reads it as a double
        return Span(math.nextafter(number, -math.inf), math.nextafter(number, math.inf))
    return Span(number, number)


def prefix_end(prefix: str) -> SqlKey:
    """The lowest key above the texts that begin with `prefix`."""
    while prefix:
        last = ord(prefix[-1]) + 1
        if last == 0xD800:
            last = 0xE000  # no text holds a surrogate
        if last <= 0x10FFFF:
            return prefix[:-1] + chr(last)
        prefix = prefix[:-1]
    return b""


def value_of(key: SqlKey) -> Any:
    """The JSON value of a key."""
    if isinstance(key, bytes):
        return orjson.loads(key)
    if isinstance(key, float) and key < LOWEST_NUMBER:
        return None if key == NULL else key == TRUE
    return key


def _double(value: int | float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.copysign(math.inf, value)
