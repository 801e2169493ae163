"""The order of view keys: CouchDB's order of types, strings by code point.

`null < false < true < numbers < strings < arrays < objects`. Arrays compare element by element, objects pair
by pair in the order they are written (name, then value), and what ends first comes first. CouchDB compares
strings by ICU's rules; here, as in PouchDB, their code points decide, which is the same on every machine.
(docs.couchdb.org, «Views Collation».)

`sort_key` turns a key into bytes that compare like the key itself, so that a BLOB column of SQLite, which
compares by memcmp, is in view order. Each value begins with a byte for its type. A string is its UTF-8, which
keeps code point order, ended by a zero byte; a zero byte in it is written as 00 FF, which no type's byte
equals. Arrays and objects end with a zero byte, lower than any type. Numbers are doubles, as JavaScript's.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

NULL, FALSE, TRUE, NUMBER, STRING, ARRAY, OBJECT = (bytes([n]) for n in range(1, 8))
_RAW_NUMBER, _RAW_FALSE, _RAW_NULL, _RAW_TRUE, _RAW_OBJECT, _RAW_ARRAY, _RAW_STRING = (
    bytes([n]) for n in range(0x11, 0x18)
)
_END = b"\0"

LOWEST = b""
"""Before every key."""

HIGHEST = b"\xff"
"""Behind every key."""

_DOUBLE = struct.Struct(">d")
_BITS = struct.Struct(">Q")
_SIGN = 1 << 63
_ALL = (1 << 64) - 1


def sort_key(value: Any) -> bytes:
    """Bytes that order as the JSON value `value` does; equal for equal keys alone.

    Raises:
        RecursionError: nested deeper than the interpreter goes. `parse_json` lets none of these through.
    """
    kind = type(value)
    if kind is str:
        return STRING + _text(value)
    if kind is int or kind is float:
        return NUMBER + _number(value)
    if value is None:
        return NULL
    if kind is bool:
        return TRUE if value else FALSE
    if isinstance(value, Mapping):
        pairs = [_text(str(name)) + sort_key(inner) for name, inner in value.items()]
        return OBJECT + b"".join([STRING + pair for pair in pairs]) + _END
    return ARRAY + b"".join([sort_key(inner) for inner in value]) + _END


def raw_sort_key(value: Any) -> bytes:
    """As `sort_key`, for views with the option `collation: raw`: the order of Erlang's terms.

    `numbers < false < null < true < objects < arrays < strings`.
    """
    if isinstance(value, str):
        return _RAW_STRING + _text(value)
    if value is None:
        return _RAW_NULL
    if isinstance(value, bool):
        return _RAW_TRUE if value else _RAW_FALSE
    if isinstance(value, (int, float)):
        return _RAW_NUMBER + _number(value)
    if isinstance(value, Mapping):
        pairs = [_RAW_STRING + _text(str(name)) + raw_sort_key(inner) for name, inner in value.items()]
        return _RAW_OBJECT + b"".join(pairs) + _END
    return _RAW_ARRAY + b"".join([raw_sort_key(inner) for inner in value]) + _END


def emission_key(value: Any) -> tuple[Any, ...]:
    """What orders the values that one document emitted with one key, as CouchDB writes them.

    `numbers < false < null < true < objects < arrays < strings`, the order of Erlang's terms. (CouchDB's
    `couch_mrview_updater.erl`, `insert_results`, sorts what a document emitted so.)
    """
    if isinstance(value, bool) or value is None:
        return (1, (False, None, True).index(value))
    if isinstance(value, (int, float)):
        return (0, value)
    if isinstance(value, Mapping):
        return (2, [(name.encode(), emission_key(inner)) for name, inner in value.items()])
    if isinstance(value, str):
        return (4, value.encode())
    return (3, [emission_key(inner) for inner in value])


def group_prefix(key: bytes, level: int) -> bytes:
    """What the sort key of an array has in common with others at `group_level` `level` (above 0).

    The bytes of the first elements, without an end, so that all keys of the group begin with them; the whole
    of what is no array or has fewer elements than that.
    """
    if key[:1] not in (ARRAY, _RAW_ARRAY):
        return key
    at = 1
    for _ in range(level):
        if key[at] == 0:
            return key
        at = _behind(key, at)
    return key[:at]


_STRINGS = STRING + _RAW_STRING
_NUMBERS = NUMBER + _RAW_NUMBER
_CONTAINERS = ARRAY + OBJECT + _RAW_ARRAY + _RAW_OBJECT


def _behind(key: bytes, at: int) -> int:
    """Where the value that begins at `at` ends."""
    depth = 0
    while True:
        kind = key[at]
        if kind == 0:
            depth -= 1
            at += 1
        elif kind in _STRINGS:
            at = key.index(0, at + 1)
            while key[at + 1 : at + 2] == b"\xff":
                at = key.index(0, at + 1)
            at += 1
        elif kind in _NUMBERS:
            at += 9
        elif kind in _CONTAINERS:
            depth += 1
            at += 1
        else:
            at += 1
        if depth == 0:
            return at


def compare(one: Any, other: Any) -> int:
    """Below 0, 0 or above 0: `one` comes before, with or behind `other`. `sort_key` must agree with it."""
    rank, other_rank = _rank(one), _rank(other)
    if rank != other_rank:
        return rank - other_rank
    if isinstance(one, str):
        return int(one > other) - int(one < other)
    if rank == _RANK_OF_NUMBERS:
        left, right = _double(one), _double(other)
        return int(left > right) - int(left < right)
    if isinstance(one, Mapping):
        return _compare_all(
            [part for pair in one.items() for part in pair], [part for pair in other.items() for part in pair]
        )
    if isinstance(one, Sequence):
        return _compare_all(one, other)
    return 0


_RANK_OF_NUMBERS = 3


def _rank(value: Any) -> int:
    if value is None:
        return 0
    if isinstance(value, bool):
        return 2 if value else 1
    if isinstance(value, int | float):
        return _RANK_OF_NUMBERS
    if isinstance(value, str):
        return 4
    return 6 if isinstance(value, Mapping) else 5


def _compare_all(one: Sequence[Any], other: Sequence[Any]) -> int:
    for left, right in zip(one, other, strict=False):
        if difference := compare(left, right):
            return difference
    return len(one) - len(other)


def _text(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass").replace(b"\0", b"\0\xff") + _END


def _number(value: int | float) -> bytes:
    """A double whose bytes order as it does: the sign flipped, and all the rest too where it is negative."""
    (bits,) = _BITS.unpack(_DOUBLE.pack(_double(value) + 0.0))  # -0.0 becomes 0.0
    return _BITS.pack(bits ^ (_ALL if bits & _SIGN else _SIGN))


def _double(value: int | float) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
