"""The order of JSON values in Mango: null, false, true, numbers, strings, arrays, objects.

Source: CouchDB's documentation of view collation. Strings are ordered by code point (CouchDB uses ICU's
order). Objects are compared name by name in the order in which their names were written, so that order
matters.
"""

from __future__ import annotations

from typing import Any, TypeAlias

OrderKey: TypeAlias = tuple[Any, ...]

ARRAY, OBJECT = 5, 6
"""First parts of the keys of arrays and of objects."""


def order_key(value: Any) -> OrderKey:
    """A tuple that orders as the value does; equal values have equal keys, 1 and 1.0 among them."""
    if isinstance(value, str):
        return (4, value)
    if value is None:
        return (0,)
    if isinstance(value, bool):
        return (2,) if value else (1,)
    if isinstance(value, (int, float)):
        return (3, value)
    if isinstance(value, list):
        return (ARRAY, tuple(map(order_key, value)))
    return (OBJECT, tuple((name, order_key(item)) for name, item in value.items()))


def raw_order_key(value: Any) -> OrderKey:
    """As `order_key`, for the field `_id`: numbers, false, null, true, objects, arrays, strings.

    CouchDB compares that one as Erlang compares terms (`cmp_raw` of its `mango_json.erl`), so that an id, a
    string, is above everything else: `{"_id": {"$gt": {}}}` is all documents.
    """
    if isinstance(value, str):
        return (6, value)
    if value is None:
        return (2,)
    if isinstance(value, bool):
        return (3,) if value else (1,)
    if isinstance(value, (int, float)):
        return (0, value)
    if isinstance(value, list):
        return (5, tuple(map(raw_order_key, value)))
    return (4, tuple((name, raw_order_key(item)) for name, item in value.items()))
