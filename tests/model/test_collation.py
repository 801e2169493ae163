"""View order: CouchDB's table of types, and that bytes compare as the keys do."""

from __future__ import annotations

import itertools
from functools import cmp_to_key
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localsrv.model.collation import (
    HIGHEST,
    LOWEST,
    compare,
    emission_key,
    group_prefix,
    raw_sort_key,
    sort_key,
)

# CouchDB's own example (docs, «Collation Specification»), its strings in code point order.
IN_ORDER: list[Any] = [
    None,
    False,
    True,
    -1e308,
    -(2**60),
    -2.5,
    -2,
    -1e-300,
    0,
    1e-300,
    1,
    1.5,
    2,
    2**53,
    1e300,
    "",
    "\0",
    "\0\0",
    "\0a",
    "A",
    "AA",
    "B",
    "a",
    "a\0",
    "a\0b",
    "a\x01",
    "aa",
    "b",
    "ba",
    "bb",
    "é",
    "\uffff",
    "🐢",
    [],
    [None],
    [None, None],
    [0, "a"],
    ["a"],
    ["a", []],
    ["b"],
    ["b", "c"],
    ["b", "c", "a"],
    ["b", "d"],
    ["b", "d", "e"],
    [[]],
    [[], 1],
    [{}],
    {},
    {"": 0},
    {"a": 1},
    {"a": 1, "b": 0},
    {"a": 2},
    {"a": []},
    {"a\0": 1},
    {"b": 1},
    {"b": 2},
    {"b": 2, "a": 1},
    {"b": 2, "c": 2},
]


def test_the_order_of_couchdb() -> None:
    for (i, one), (j, other) in itertools.product(enumerate(IN_ORDER), repeat=2):
        expected = (i > j) - (i < j)
        found = compare(one, other)
        assert (found > 0) - (found < 0) == expected, (one, other)
        left, right = sort_key(one), sort_key(other)
        assert (left > right) - (left < right) == expected, (one, other)
        assert LOWEST < left < HIGHEST


@pytest.mark.parametrize(
    ("one", "other"),
    [(0, -0.0), (1, 1.0), (2**53, 2.0**53), ([1], [1.0]), (2**53 + 1, 2**53), (10**400, float("inf"))],
)
def test_equal_numbers_are_one_key(one: Any, other: Any) -> None:
    assert sort_key(one) == sort_key(other)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.text("\0\x01a\xff", max_size=4)
NUMBERS = st.integers(-(2**64), 2**64) | st.floats(allow_nan=False, allow_infinity=False)
KEYS = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=12,
)


@given(KEYS, KEYS)
def test_bytes_compare_as_keys(one: Any, other: Any) -> None:
    found = compare(one, other)
    left, right = sort_key(one), sort_key(other)
    assert (left > right) - (left < right) == (found > 0) - (found < 0)


@given(st.lists(KEYS, max_size=12))
def test_sorting_by_bytes_is_sorting_by_keys(keys: list[Any]) -> None:
    assert list(map(sort_key, sorted(keys, key=sort_key))) == list(
        map(sort_key, sorted(keys, key=cmp_to_key(compare)))
    )


@given(st.lists(KEYS, max_size=5), st.lists(KEYS, max_size=5), st.integers(1, 4))
def test_arrays_with_the_same_beginning_are_one_group(one: list[Any], other: list[Any], level: int) -> None:
    same = sort_key(one[:level]) == sort_key(other[:level])
    found = [group_prefix(sort_key(key), level) for key in (one, other)]
    assert (found[0] == found[1]) == same


@given(KEYS, st.integers(1, 4))
def test_a_group_begins_with_its_prefix(key: Any, level: int) -> None:
    whole = sort_key(key)
    prefix = group_prefix(whole, level)
    assert whole.startswith(prefix)
    if not isinstance(key, list) or len(key) < level:
        assert prefix == whole


def test_the_order_of_values_with_one_key() -> None:
    """Erlang's order of terms, in which CouchDB writes what one document emits with one key."""
    values: list[Any] = [
        -1, 0, 1.5, 2, False, None, True,
        {}, {"a": 1}, {"a": 1, "b": 0}, {"a": "x"}, {"b": 0},
        [], [1], [1, 0], [2], [None], ["a"],
        "", "A", "a", "aa", "é",
    ]  # fmt: skip
    mixed = values[1::2] + values[::2]
    assert sorted(mixed, key=emission_key) == values


RAW_ORDER: list[Any] = [
    -1, 0, 1.5, 10, False, None, True, {}, {"a": 1}, {"a": 1, "b": 0}, {"a": "x"}, {"b": 1},
    [], [1], [1, 2], [None], [{}], ["a"], "", "A", "a", "aa", "é",
]  # fmt: skip
"""CouchDB's example of raw collation (its test view_collation_raw), and more."""


def test_raw_collation() -> None:
    keys = RAW_ORDER[::-1]
    keys.sort(key=raw_sort_key)
    assert keys == RAW_ORDER
    assert all(LOWEST < raw_sort_key(key) < HIGHEST for key in RAW_ORDER)


@given(st.lists(KEYS, max_size=5), st.lists(KEYS, max_size=5), st.integers(1, 4))
def test_raw_keys_are_grouped_alike(one: list[Any], other: list[Any], level: int) -> None:
    same = raw_sort_key(one[:level]) == raw_sort_key(other[:level])
    found = [group_prefix(raw_sort_key(key), level) for key in (one, other)]
    assert (found[0] == found[1]) == same
